// The ranks that mpirun starts. MPI is behind a small library that scripts/mpi compiles, which is opened here.

internal import EmbedKernel

internal import CMPICalls
internal import CSystem

extension Communicator {
  /// This process among those that `mpirun` started; alone where it was started without.
  ///
  /// Starts MPI where it does not run yet. Ranks whose programs differ are refused on all ranks.
  ///
  ///     let communicator = try Communicator.mpi()
  ///     ...
  ///     try communicator.finish()
  ///
  /// - Parameter timeOut: After how many seconds without a message a rank counts as hung.
  /// - Throws: `unavailableMPI` where the shim cannot be opened, `transport` where MPI does not start,
  ///   `disagreement` for ranks of another program or version.
  public static func mpi(timeOut: Double = 300) throws(DistributedError) -> Communicator {
    try check(timeOut: timeOut)
    let transport = try MPITransport()
    // An MPI that another's launcher started finds itself alone, and would do all ranks' work in each of them.
    if transport.size == 1, let (name, size) = launchedSize, size > 1 {
      throw .unavailableMPI(
        reason:
          "its launcher started \(size) ranks (\(name)), but \(transport.name) finds one: the "
          + "library is of another MPI")
    }
    let communicator = Communicator(
      rank: transport.rank, size: transport.size, timeOut: timeOut, .mpi(transport))
    try communicator.agree([
      ("version", Release.version), ("check sum of the program", CheckSum.ofProgram),
    ])
    return communicator
  }

  /// By which Open MPI's and MPICH's launchers tell each process the number of ranks.
  private static let sizeVariables = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"]

  private static var launchedSize: (name: String, size: Int)? {
    number(in: sizeVariables).map { (name: $0.name, size: $0.value) }
  }

  /// The rank that a launcher told this process, before MPI is started.
  package static var launchedRank: Int? {
    number(in: ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"])?.value
  }

  private static func number(in variables: [String]) -> (name: String, value: Int)? {
    for name in variables {
      if let text = unsafe getenv(name), let value = Int(unsafe String(cString: text)) {
        return (name, value)
      }
    }
    return nil
  }

  /// Whether a launcher of MPI started this process; Slurm's tells it a rank alone.
  package static var isLaunchedByMPI: Bool {
    (sizeVariables + ["PMIX_RANK"]).contains { name in unsafe getenv(name) != nil }
  }

  /// The MPI library's own name and version; nil for threads.
  public var libraryName: String? {
    guard case .mpi(let mpi) = transport else { return nil }
    return mpi.name
  }
}

/// The open shim. Used by one thread, as the communicator is.
@safe final class MPITransport: @unchecked Sendable {
  private let functions: UnsafePointer<ek_mpi_functions>
  /// Room for what the shim has to say.
  private let message: UnsafeMutablePointer<CChar>
  let rank: Int
  let size: Int
  private var isBroken = false

  init() throws(DistributedError) {
    var reason: UnsafePointer<CChar>?
    guard let functions = unsafe ek_mpi_open(&reason) else {
      throw .unavailableMPI(
        reason: unsafe reason.map { unsafe String(cString: $0) } ?? "no reason given")
    }
    unsafe self.functions = functions
    unsafe message = .allocate(capacity: Int(EK_MPI_MESSAGE))
    unsafe message.initialize(repeating: 0, count: Int(EK_MPI_MESSAGE))
    var (rank, size): (CInt, CInt) = (0, 0)
    let result = unsafe functions.pointee.start(&rank, &size, message)
    self.rank = Int(rank)
    self.size = Int(size)
    try check(result, "start of MPI")
  }

  deinit { unsafe message.deallocate() }

  var name: String {
    unsafe functions.pointee.name(message)
    return unsafe String(cString: message)
  }

  func receive(_ pieces: borrowing Exchange, _ operation: String) throws(DistributedError) {
    guard !isBroken else { throw .broken(operation: operation) }
    let result = unsafe functions.pointee.receive(
      tag(of: operation), pieces.receive, pieces.receiveBytes, message)
    try check(result, operation)
  }

  func send(
    _ pieces: borrowing Exchange, to peer: Int, _ operation: String
  ) throws(DistributedError) {
    guard !isBroken else { throw .broken(operation: operation) }
    let (bytes, count) = unsafe (pieces.send[peer], pieces.sendBytes[peer])
    guard peer == rank else {
      return try check(
        unsafe functions.pointee.send(CInt(peer), bytes, count, message), operation)
    }
    let expected = unsafe pieces.receiveBytes[peer]
    guard count == expected else {
      isBroken = true
      throw .transport(
        operation: operation,
        reason: "\(count) bytes to the rank itself, which expects \(expected)")
    }
    if let bytes = unsafe bytes, let to = unsafe pieces.receive[peer], unsafe to != bytes {
      unsafe to.copyMemory(from: bytes, byteCount: count)
    }
  }

  func wait(
    _ pieces: borrowing Exchange, _ timeOut: Double, _ operation: String
  ) throws(DistributedError) {
    guard !isBroken else { throw .broken(operation: operation) }
    let result = unsafe functions.pointee.wait(timeOut, pieces.late, message)
    if result == EK_MPI_LATE {
      isBroken = true
      throw .timeOut(ranks: pieces.lateRanks, operation: operation, seconds: timeOut)
    }
    try check(result, operation)
  }

  func abort(_ status: Int32) { unsafe functions.pointee.abort(status) }

  func finish() throws(DistributedError) {
    // MPI's end would wait for messages that do not come.
    guard !isBroken else { throw .broken(operation: "end of MPI") }
    let result = unsafe functions.pointee.finish(message)
    try check(result, "end of MPI")
  }

  private func check(_ result: ek_mpi_result, _ operation: String) throws(DistributedError) {
    guard result == EK_MPI_DONE else {
      isBroken = true
      throw .transport(operation: operation, reason: unsafe String(cString: message))
    }
  }
}
