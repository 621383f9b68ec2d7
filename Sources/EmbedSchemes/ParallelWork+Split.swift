// Splitting a scheme's work over threads. It is done in this module, where the work's type is known: what
// the pool is given then captures nothing, so nothing is allocated.

internal import EmbedKernel

extension ParallelWork {
  /// Does the work on `0..<count`, on the calling thread and up to `threads - 1` others.
  @inline(__always)
  func split(_ count: Int, _ threads: Int) {
    unsafe withUnsafePointer(to: self) { work in
      unsafe Threads.split(count, threads, parts: 8 * threads, UnsafeRawPointer(work)) {
        unsafe $0.assumingMemoryBound(to: Self.self).pointee.run($1)
      }
    }
  }
}
