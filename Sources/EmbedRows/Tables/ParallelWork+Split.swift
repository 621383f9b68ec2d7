// Splitting this module's work over threads. It is done here, where the work's type is known: what the
// pool is given then captures nothing, so nothing is allocated.

internal import EmbedKernel

extension ParallelWork {
  /// Does the work on `0..<count`, on the calling thread and up to `threads - 1` others.
  ///
  /// - Parameter parts: How many parts it is cut into at most; nil for eight a thread.
  @inline(__always)
  func split(_ count: Int, _ threads: Int, parts: Int? = nil) {
    guard threads > 1, count > 1 else { return run(0..<count) }
    unsafe withUnsafePointer(to: self) { work in
      unsafe Threads.split(count, threads, parts: parts ?? 8 * threads, UnsafeRawPointer(work)) {
        unsafe $0.assumingMemoryBound(to: Self.self).pointee.run($1)
      }
    }
  }
}

extension Range<Int> {
  /// Calls `body` with parts of up to `count`, one after another.
  @inline(__always)
  func forEachPart(of count: Int, _ body: (Range<Int>) -> Void) {
    var start = lowerBound
    while start < upperBound {
      let end = upperBound - start > count ? start + count : upperBound
      body(start..<end)
      start = end
    }
  }
}
