// What can be wrong when several processes work as one. Whatever one of them finds wrong before it sends
// data is told to all, and all throw: none waits for a rank that has given up.

public import EmbedKernel

/// A call on several ranks that failed.
public enum DistributedError: Error, Equatable, Sendable {
  /// This rank's own arguments, memory or numbers are at fault; the other ranks throw `refused`.
  case invalid(EmbedError)

  /// Another rank found a fault, and so no rank did anything.
  case refused(rank: Int, reason: String)

  /// Ranks differ in what must be one: a size, a seed, the program's or a table's check sum.
  ///
  /// - Parameter values: Of each rank, in the order of ranks.
  case disagreement(fact: String, values: [String])

  /// Ranks were waited for in vain. The communicator serves no more.
  case timeOut(ranks: [Int], operation: String, seconds: Double)

  /// A message had another size than its receiver expects, or MPI refused. The communicator serves no more.
  case transport(operation: String, reason: String)

  /// A call on a communicator that a fault before has broken.
  case broken(operation: String)

  /// MPI, or the shim that scripts/mpi compiles, cannot be used.
  case unavailableMPI(reason: String)

  /// A file could not be read or written, or is not what it should be.
  case file(reason: String)
}

extension DistributedError: CustomStringConvertible {
  /// The fault in a sentence, with the ranks and values it is about.
  public var description: String {
    switch self {
    case .invalid(let error):
      return error.description
    case .refused(let rank, let reason):
      return "rank \(rank) refused: \(reason)"
    case .disagreement(let fact, let values):
      let listed = values.enumerated().prefix(16).map { "\($1) on rank \($0)" }
      let rest = values.count > 16 ? ", and \(values.count - 16) ranks more" : ""
      return "ranks disagree on \(fact): \(listed.joined(separator: ", "))\(rest)"
    case .timeOut(let ranks, let operation, let seconds):
      let names = ranks.map(String.init).joined(separator: ", ")
      return "\(operation): nothing from rank \(names) for \(seconds) seconds"
    case .transport(let operation, let reason):
      return "\(operation): \(reason)"
    case .broken(let operation):
      return "\(operation): the communicator is broken since an earlier fault"
    case .unavailableMPI(let reason):
      return
        "MPI cannot be used: \(reason); scripts/mpi compiles its shim, EMBEDKERNEL_MPI names it"
    case .file(let reason):
      return reason
    }
  }
}

extension DistributedError {
  /// Passes a value on, or this library's error as one of ours.
  static func wrapping<Result: ~Copyable>(
    _ body: @autoclosure () throws(EmbedError) -> Result
  ) throws(DistributedError) -> Result {
    do throws(EmbedError) {
      return try body()
    } catch {
      throw .invalid(error)
    }
  }
}
