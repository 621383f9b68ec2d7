// What scripts/test-mpi starts on several ranks.
//
//   DistributedProbe alone FILE                  without ranks: what `run` must come to
//   DistributedProbe run FILE SHARDING [FOLDER]  three steps; rank 0 writes outputs and tables to FILE
//   DistributedProbe resume FILE SHARDING FOLDER the last of them from the checkpoint that `run` left there
//   DistributedProbe disagree                    rank 1 has another seed
//   DistributedProbe hang                        rank 1 sleeps for a minute; the time-out is two seconds
//   DistributedProbe differ                      rank 1 makes another call than the others
//   DistributedProbe die                         rank 1 kills itself before an exchange
//   DistributedProbe time [SECONDS]              messages' time and bandwidth, a layer's bytes and time
//
// SHARDING is contiguous, hashed or columns.

import EmbedDistributed
import EmbedKernel
import Foundation

@main enum DistributedProbe {
  static func main() throws {
    let arguments = Array(CommandLine.arguments.dropFirst())
    let mode = arguments.first ?? ""
    func argument(_ index: Int) -> String {
      guard index < arguments.count else { fatalError("\(mode) needs an argument more") }
      return arguments[index]
    }
    if mode == "alone" {
      return try Data(Steps().alone()).write(to: URL(filePath: argument(1)))
    }
    let communicator: Communicator
    do {
      communicator = try Communicator.mpi(timeOut: mode == "hang" ? 2 : 60)
    } catch {
      return end(error, nil)
    }
    do {
      switch mode {
      case "run", "resume":
        let bytes = try Steps().run(
          communicator, sharding(argument(2)), resume: mode == "resume",
          folder: arguments.count > 3 ? arguments[3] : nil)
        if communicator.rank == 0 { try Data(bytes).write(to: URL(filePath: argument(1))) }
      case "disagree":
        _ = try ShardedEmbedding(
          vocabulary: 10, dim: 4, seed: communicator.rank == 1 ? 2 : 1, over: communicator)
      case "hang":
        if communicator.rank == 1 { Thread.sleep(forTimeInterval: 60) }
        try communicator.barrier()
      case "differ":
        if communicator.rank == 1 {
          _ = try communicator.gather("one")
        } else {
          try communicator.barrier()
        }
      case "die":
        try communicator.barrier()
        if communicator.rank == 1 { kill(getpid(), SIGKILL) }
        try communicator.barrier()
      case "time":
        try Timing(communicator).print()
      default:
        fatalError("unknown mode '\(mode)'")
      }
      try communicator.finish()
    } catch {
      end(error, communicator)
    }
  }

  private static func sharding(_ name: String) -> Sharding {
    switch name {
    case "contiguous": .contiguousRows
    case "hashed": .hashedRows(seed: 7)
    case "columns": .columns
    default: fatalError("unknown sharding '\(name)'")
    }
  }

  /// Says what was wrong. A fault that all ranks know of ends MPI in order, another ends them all.
  private static func end(_ error: any Error, _ communicator: Communicator?) {
    let rank = communicator.map { "rank \($0.rank)" } ?? "start"
    FileHandle.standardError.write(Data("probe: \(rank): \(error)\n".utf8))
    switch error {
    case DistributedError.disagreement, DistributedError.refused, DistributedError.invalid:
      try? communicator?.finish()
      exit(3)
    default:
      communicator?.abort(status: 4)
      exit(4)
    }
  }
}
