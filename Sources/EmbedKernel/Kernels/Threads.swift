// Splitting a call over cores. Dispatch keeps the threads; a call that is too small to gain from
// them stays on the calling thread and pays nothing.

internal import CMicrokernels
internal import Dispatch
internal import Synchronization

package enum Threads {
  /// The CPUs this process may use: its affinity mask, where the system has one.
  package static let available = ek_available_cpus()

  /// Calls `body` with parts of `0..<count`, on the calling thread and up to `threads - 1` others.
  ///
  /// A helper thread wakes late, by tens of microseconds, so there are more parts than threads and
  /// each thread takes the next one when it is free: a late helper costs its lateness shared out.
  @inline(__always)
  package static func split(_ count: Int, _ threads: Int, _ body: (Range<Int>) -> Void) {
    let threads = min(threads, count)
    guard threads > 1 else { return body(0..<count) }
    let parts = min(count, threads * partsPerThread)
    let taken = Atomic(0)
    // Parts write disjoint rows and the call waits for all of them, so sharing `body` is sound.
    withoutActuallyEscaping(body) { body in
      nonisolated(unsafe) let body = body
      DispatchQueue.concurrentPerform(iterations: threads) { _ in
        while true {
          let part = taken.wrappingAdd(1, ordering: .relaxed).oldValue
          guard part < parts else { return }
          unsafe body(part * count / parts..<(part + 1) * count / parts)
        }
      }
    }
  }

  private static let partsPerThread = 8
}
