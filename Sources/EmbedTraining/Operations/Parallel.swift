// Splitting a pass over threads, on the pool of EmbedKernel. Work is a plain value of pointers.

internal import EmbedKernel

/// Work on `0..<count` that any thread may do a part of.
protocol PassWork {
  /// Does the part `range`; parts write disjoint memory.
  func run(_ range: Range<Int>)
}

enum Parallel {
  /// Does rows, in more parts than threads: a thread that starts late takes fewer.
  static func rows<Work: PassWork>(_ count: Int, _ threads: Int, _ work: Work) {
    split(count, threads, parts: 4 * threads, work)
  }

  /// Does parts that the work has cut itself, each with memory of its own.
  static func parts<Work: PassWork>(_ parts: Int, _ threads: Int, _ work: Work) {
    split(parts, threads, parts: parts, work)
  }

  private static func split<Work: PassWork>(
    _ count: Int, _ threads: Int, parts: Int, _ work: Work
  ) {
    unsafe withUnsafePointer(to: work) { work in
      unsafe Threads.split(count, threads, parts: parts, UnsafeRawPointer(work)) {
        unsafe $0.assumingMemoryBound(to: Work.self).pointee.run($1)
      }
    }
  }
}
