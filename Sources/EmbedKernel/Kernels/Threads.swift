// Splitting a call over cores. Dispatch keeps the threads; a call that is too small to gain from
// them stays on the calling thread and pays nothing.

internal import CMicrokernels
internal import Dispatch

package enum Threads {
  /// The CPUs this process may use: its affinity mask, where the system has one.
  package static let available = ek_available_cpus()

  /// Calls `body(part, count)` for each part in `0..<count`, on up to `count` threads at once.
  @inline(__always)
  package static func run(_ count: Int, _ body: (_ part: Int, _ count: Int) -> Void) {
    if count <= 1 {
      body(0, 1)
    } else {
      // Parts write disjoint rows and the call waits for all of them, so sharing `body` is sound.
      withoutActuallyEscaping(body) { body in
        nonisolated(unsafe) let body = body
        DispatchQueue.concurrentPerform(iterations: count) { unsafe body($0, count) }
      }
    }
  }
}
