// How a fault of one rank ends all with one line: in what each does for itself, in what they do together, and on a
// command line that no run comes of.

internal import EmbedDistributed
internal import EmbedTraining

internal import CSystem

extension RunRanks {
  /// An error that all ranks know of; this one has the words.
  private struct SharedFault: Error {
    let error: any Error
  }

  /// Does what each rank does for itself. Where that fails on some, all end.
  func each<Result>(_ body: () throws -> Result) throws -> Result {
    guard let communicator else { return try body() }
    var result: Result?
    var fault: (any Error)?
    do { result = try body() } catch { fault = error }
    try share(fault, communicator)
    guard let result else { throw fault ?? CommandError.told(exitCode: 1) }
    return result
  }

  /// Does what ranks do together, which fails on all or on none.
  func together<Result>(_ body: () throws -> Result) throws -> Result {
    guard let communicator else { return try body() }
    do {
      return try body()
    } catch {
      try share(error, communicator)
      throw error
    }
  }

  /// Throws where a rank has a fault: the first of those that are not another's has the words.
  private func share(_ fault: (any Error)?, _ communicator: Communicator) throws {
    if fault is SharedFault { throw fault ?? CommandError.told(exitCode: 1) }
    if case CommandError.told(let code)? = fault { throw CommandError.told(exitCode: code) }
    var isEcho = false
    if case DistributedError.refused? = fault { isEcho = true }
    if case TrainingError.ranks(.refused)? = fault { isEcho = true }
    let word = Word(
      code: fault.map { Program.exitCode(of: $0) } ?? 0, isEcho: isEcho ? 1 : 0)
    let words: [Word]
    do {
      words = try communicator.gather(word, "faults of a run")
    } catch {
      throw fault ?? error
    }
    guard
      let speaker = words.firstIndex(where: { $0.code != 0 && $0.isEcho == 0 })
        ?? words.firstIndex(where: { $0.code != 0 })
    else { return }
    guard speaker == communicator.rank, let fault else {
      throw CommandError.told(exitCode: words[speaker].code)
    }
    throw SharedFault(error: fault)
  }

  /// What a rank says of its fault: its exit code, 0 for none, and whether it only passes another's on.
  private struct Word: BitwiseCopyable {
    var code: CInt
    var isEcho: CInt
  }

  /// Runs all of a command, and ends MPI.
  ///
  /// - Parameter command: Its name, for words.
  func run(_ command: String, _ body: () throws -> Void) throws {
    guard let communicator else { return try body() }
    do {
      try body()
    } catch let fault as SharedFault {
      // Before MPI ends: its launcher may end the others as soon as one has ended.
      let code = Program.tell(fault.error, command: command)
      try? communicator.finish()
      throw CommandError.told(exitCode: code)
    } catch CommandError.told(let code) {
      try? communicator.finish()
      throw CommandError.told(exitCode: code)
    } catch {
      // The others don't know, or don't answer.
      if !Self.isSaid(error, communicator) { _ = Program.tell(error, command: command) }
      communicator.abort(status: 1)
    }
    try communicator.finish()
  }

  /// Whether another rank says of a time-out what there is to say; gives it the time for it.
  private static func isSaid(_ error: any Error, _ communicator: Communicator) -> Bool {
    let late: [Int]
    switch error {
    case DistributedError.timeOut(let ranks, _, _): late = ranks
    case TrainingError.ranks(.timeOut(let ranks, _, _)): late = ranks
    default: return false
    }
    let speaker = (0..<communicator.size).first { !late.contains($0) }
    guard speaker != communicator.rank else { return false }
    _ = usleep(500_000)
    return true
  }

  // MARK: Before a run

  /// Says what keeps a command from being run, once where all ranks have it, and gives its exit code.
  static func tell(_ error: any Error, command: String) -> CInt {
    guard Communicator.isLaunchedByMPI else { return Program.tell(error, command: command) }
    switch error {
    case CommandError.told(let code): return code
    case DistributedError.disagreement, DistributedError.refused:
      // All know of it.
      guard Communicator.launchedRank ?? 0 == 0 else {
        letFirstSpeak()
        return 1
      }
      return Program.tell(error, command: command)
    case DistributedError.unavailableMPI, DistributedError.transport, DistributedError.timeOut:
      letFirstSpeak()
      return Program.tell(error, command: command)
    default: break
    }
    do {
      let ranks = RunRanks(try Communicator.mpi(timeOut: 30))
      try ranks.run(command) { try ranks.each { throw error } }
      return 1
    } catch CommandError.told(let code) {
      return code
    } catch {
      letFirstSpeak()
    }
    return Program.tell(error, command: command)
  }

  /// Where ranks cannot tell each other, gives the first one the time to say what may be all ranks' fault: its
  /// launcher then ends the others. Returns at once without a launcher.
  static func letFirstSpeak() {
    if Communicator.launchedRank ?? 0 > 0 { _ = usleep(3_000_000) }
  }
}
