// What several threads may do at once, done by four of them under the thread sanitizer, each result held
// to the one that a thread alone gives.
//
//   RaceProbe [ROUNDS]
//
// scripts/test-races builds it with the sanitizer, which ends the process where two threads touch the
// same memory without an order. A line a scene; `end` where all were gone through.

import EmbedKernel
import EmbedKernel
import Foundation
import Synchronization

@main enum RaceProbe {
  static let threads = 4

  static func main() throws {
    let rounds = CommandLine.arguments.dropFirst().first.flatMap(Int.init) ?? 3
    for round in 0..<rounds {
      for scene in scenes {
        do {
          try scene.play(UInt64(round))
        } catch {
          print("\(scene.name), round \(round): \(error)")
          exit(1)
        }
      }
    }
    for scene in scenes { print("\(scene.name): \(rounds) rounds on \(threads) threads") }
    print("end")
  }
}

/// Something that threads do at once.
struct Scene: Sendable {
  let name: String
  let play: @Sendable (_ seed: UInt64) throws -> Void

  init(_ name: String, _ play: @escaping @Sendable (UInt64) throws -> Void) {
    self.name = name
    self.play = play
  }
}

/// A thread's result is another than that of a thread alone, or what a thread threw.
struct Fault: Error, CustomStringConvertible {
  let description: String
}

/// How many threads are not there yet.
private final class Gate: Sendable { let count = Atomic(RaceProbe.threads) }

/// What threads threw.
private final class Faults: Sendable { let texts = Guarded<[String]>([]) }

/// Runs `body` on all threads at once, as nearly as a gate can make them start.
func atOnce(_ body: @escaping @Sendable (_ thread: Int) throws -> Void) throws {
  let group = DispatchGroup()
  let waiting = Gate(), faults = Faults()
  for thread in 0..<RaceProbe.threads {
    // Threads of its own: a queue may run one after the other.
    group.enter()
    Thread.detachNewThread {
      waiting.count.wrappingSubtract(1, ordering: .acquiringAndReleasing)
      while waiting.count.load(ordering: .acquiring) > 0 { sched_yield() }
      do {
        try body(thread)
      } catch {
        faults.texts.withLock { $0.append("\(error)") }
      }
      group.leave()
    }
  }
  group.wait()
  if let first = faults.texts.withLock({ $0.first }) { throw Fault(description: first) }
}

func expect<Value: Equatable>(_ found: Value, _ expected: Value, _ what: String) throws {
  guard found == expected else { throw Fault(description: "\(what) differs from a thread alone") }
}
