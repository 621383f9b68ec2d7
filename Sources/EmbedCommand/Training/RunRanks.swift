// The ranks of a run that mpirun started: what each does for itself, what they do together, and how a fault of
// one ends all with one line. Without mpirun a run is alone, and MPI is not opened.

internal import EmbedDistributed
internal import EmbedKernel
internal import EmbedTraining

internal import CSystem

/// Whether a run is one of several ranks.
enum MPIUse: String, CaseIterable {
  case auto, on, off
}

/// A run's ranks.
struct RunRanks {
  /// Those that mpirun started; nil for a run alone.
  let communicator: Communicator?

  /// Starts MPI where the options or the environment say so.
  ///
  /// - Throws: `DistributedError` where MPI cannot be used, or ranks have other programs.
  init(_ arguments: Arguments) throws {
    let isUsed =
      switch try arguments[TrainOptions.mpi] {
      case .on: true
      case .off: false
      case .auto: Communicator.isLaunchedByMPI
      }
    communicator =
      isUsed ? try Communicator.mpi(timeOut: arguments[TrainOptions.timeOut]) : nil
  }

  /// Whether this rank has the folder, the log and the words.
  var isFirst: Bool { communicator.map { $0.rank == 0 } ?? true }

  /// The threads of a step: what is asked for, or this rank's share of the CPUs that it may use.
  func threads(_ given: Int?) throws -> Int? {
    guard given == nil, let communicator else { return given }
    let places = try communicator.gather(Self.place)
    return max(1, Threads.available / places.count { $0 == Self.place })
  }

  /// The machine and the CPUs of it that this process may use.
  private static let place: String = {
    var name = [CChar](repeating: 0, count: 256)
    unsafe _ = gethostname(&name, name.count - 1)
    let host = String(
      decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let status = (try? TextFile.read("/proc/self/status", limit: 1 << 20)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
    return "\(host) \(line ?? "")"
  }()

  /// Checks that all ranks have the same settings and the same text.
  func agree(_ settings: RunSettings) throws {
    guard let communicator else { return }
    try together { try communicator.agree(settings.facts) }
  }

  // MARK: Faults

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
    let words: [String]
    do {
      words = try communicator.gather(fault == nil ? "" : isEcho ? "echo" : "fault")
    } catch {
      throw fault ?? error
    }
    guard let speaker = words.firstIndex(of: "fault") ?? words.firstIndex(of: "echo") else {
      return
    }
    guard speaker == communicator.rank, let fault else { throw CommandError.told(exitCode: 1) }
    throw SharedFault(error: fault)
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
    } catch let error as CommandError where error == .told(exitCode: 1) {
      try? communicator.finish()
      throw error
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
}
