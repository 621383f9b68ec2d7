// The ranks that work together, and the one thing they do: each sends each other some bytes. Barriers,
// gathered values and agreements are exchanges too; sums are made of what has been received, in an
// order of the library's own.

internal import EmbedKernel

internal import Synchronization

/// This process among those that work together: over MPI, or as a thread of one process.
///
/// All ranks make the same calls in the same order, each from one thread at a time (MPI's `FUNNELED`:
/// the thread that made the communicator).
public struct Communicator: Sendable {
  /// Which of the ranks this is, from 0 on.
  public let rank: Int

  /// The number of ranks.
  public let size: Int

  /// After how many seconds without a message from a rank it counts as hung. A rank that computes longer
  /// than that between two calls counts as hung too.
  public let timeOut: Double

  enum Transport: Sendable {
    case mpi(MPITransport)
    case threads(RankGroup)
  }

  let transport: Transport
  private let traffic: Traffic

  /// What was sent, for all copies of the communicator.
  private final class Traffic: Sendable {
    let bytes = Atomic(0)
    let exchanges = Atomic(0)
  }

  init(rank: Int, size: Int, timeOut: Double, _ transport: Transport) {
    self.rank = rank
    self.size = size
    self.timeOut = timeOut
    self.transport = transport
    traffic = Traffic()
  }

  /// The bytes that this rank has sent to others so far.
  public var bytesSent: Int { traffic.bytes.load(ordering: .relaxed) }

  /// The exchanges so far; each takes at least the time of one message.
  public var exchangeCount: Int { traffic.exchanges.load(ordering: .relaxed) }

  /// Exchanges `pieces` with all ranks; `operation` names it in errors.
  package func run(_ pieces: borrowing Exchange, _ operation: String) throws(DistributedError) {
    try begin(pieces, operation)
    for step in 0..<size { try send(pieces, to: (rank + step) % size, operation) }
    try end(pieces, operation)
  }

  /// Begins to receive an exchange's pieces.
  package func begin(_ pieces: borrowing Exchange, _ operation: String) throws(DistributedError) {
    if case .mpi(let mpi) = transport { try mpi.receive(pieces, operation) }
  }

  /// Begins to send the piece for a rank, which is then not to be touched. Each rank is to be sent to once,
  /// this one included.
  package func send(
    _ pieces: borrowing Exchange, to peer: Int, _ operation: String
  ) throws(DistributedError) {
    if case .mpi(let mpi) = transport { try mpi.send(pieces, to: peer, operation) }
  }

  /// Ends an exchange: all pieces have been sent and received.
  package func end(_ pieces: borrowing Exchange, _ operation: String) throws(DistributedError) {
    for peer in 0..<size where peer != rank {
      traffic.bytes.wrappingAdd(unsafe pieces.sendBytes[peer], ordering: .relaxed)
    }
    traffic.exchanges.wrappingAdd(1, ordering: .relaxed)
    switch transport {
    case .mpi(let mpi): try mpi.wait(pieces, timeOut, operation)
    case .threads(let group): try group.exchange(rank, pieces, timeOut, operation)
    }
  }

  /// Waits until all ranks have got here.
  public func barrier() throws(DistributedError) { _ = try gather(UInt8(0), "barrier") }

  /// Ends the processes of all ranks, as for a fault that the others can't know of; over threads, makes
  /// every exchange of the others fail.
  public func abort(status: Int32 = 1) {
    switch transport {
    case .mpi(let mpi): mpi.abort(status)
    case .threads(let group): group.fail()
    }
  }

  /// Ends MPI, once for the process, when all ranks have got here. A process that ends without it is
  /// taken for killed, and MPI ends the others.
  ///
  /// - Throws: `broken` after a `timeOut` or `transport`, for which `abort` is the end; `transport`.
  public func finish() throws(DistributedError) {
    if case .mpi(let mpi) = transport { try mpi.finish() }
  }
}

extension Communicator {
  /// Ranks of one process, one for each thread that is to work: for tests, and for trying things without MPI.
  ///
  /// - Throws: `invalid` for less than one rank or a time-out that is not above 0.
  public static func threads(
    ranks: Int, timeOut: Double = 300
  ) throws(DistributedError) -> [Communicator] {
    guard ranks > 0 else {
      throw .invalid(.invalidSize(argument: "ranks", value: ranks, expected: "1 or more"))
    }
    try check(timeOut: timeOut)
    let group = RankGroup(size: ranks)
    return (0..<ranks).map {
      Communicator(rank: $0, size: ranks, timeOut: timeOut, .threads(group))
    }
  }

  /// One rank alone, which sends nothing.
  public static var alone: Communicator {
    Communicator(rank: 0, size: 1, timeOut: 300, .threads(RankGroup(size: 1)))
  }

  static func check(timeOut: Double) throws(DistributedError) {
    guard timeOut > 0, timeOut.isFinite else {
      throw .invalid(
        .invalidValue(argument: "time-out", value: timeOut, expected: "a finite number above 0"))
    }
  }
}
