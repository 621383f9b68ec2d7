// Splitting a call over cores. A call that is too small to gain from it stays on the calling thread
// and pays nothing.

internal import CThreadPool
internal import Synchronization

/// Work on `0..<count` that any thread may do a part of, as a plain value.
///
/// A value rather than a closure: handing a closure to another thread allocates.
package protocol ParallelWork {
  /// Does the part `range`; parts write disjoint memory.
  func run(_ range: Range<Int>)
}

package enum Threads {
  /// The CPUs this process may use: its affinity mask, where the system has one.
  package static let available = Int(ek_available_cpus())

  /// Does `work` on `0..<count`, on the calling thread and up to `threads - 1` others.
  ///
  /// There are more parts than threads, and each thread takes the next part when it is free: a
  /// helper that wakes late, by tens of microseconds, takes fewer. Allocates nothing.
  @inline(__always)
  package static func split<Work: ParallelWork>(_ count: Int, _ threads: Int, _ work: Work) {
    let threads = min(threads, count)
    guard threads > 1 else { return work.run(0..<count) }
    unsafe withUnsafePointer(to: work) { work in
      unsafe split(count, threads, parts: threads * partsPerThread, UnsafeRawPointer(work)) {
        unsafe $0.assumingMemoryBound(to: Work.self).pointee.run($1)
      }
    }
  }

  /// The same for another module's work, given as an address, in so many parts.
  ///
  /// - Parameter body: Does a part; a closure that captures nothing, so that none is allocated.
  package static func split(
    _ count: Int, _ threads: Int, parts: Int, _ work: UnsafeRawPointer,
    _ body: @escaping (UnsafeRawPointer, Range<Int>) -> Void
  ) {
    let parts = min(count, parts)
    guard threads > 1, parts > 1 else { return unsafe body(work, 0..<count) }
    unsafe run(
      Job(work: work, count: count, parts: parts, run: body), helpers: min(threads, parts) - 1)
  }

  /// The same for work outside the hot paths, which may allocate.
  package static func split(
    _ count: Int, _ threads: Int, _ body: (Range<Int>) -> Void
  ) {
    withoutActuallyEscaping(body) { split(count, threads, ClosureWork(body: $0)) }
  }

  private struct ClosureWork: ParallelWork {
    let body: (Range<Int>) -> Void
    func run(_ range: Range<Int>) { body(range) }
  }

  /// Work on its way through the pool, which knows C functions and addresses only.
  @safe private struct Job: ~Copyable {
    let work: UnsafeRawPointer
    let count: Int
    let parts: Int
    let taken = Atomic(0)
    let run: (UnsafeRawPointer, Range<Int>) -> Void

    init(
      work: UnsafeRawPointer, count: Int, parts: Int,
      run: @escaping (UnsafeRawPointer, Range<Int>) -> Void
    ) {
      unsafe self.work = work
      self.count = count
      self.parts = parts
      unsafe self.run = run
    }

    /// Takes parts until none is left.
    func takeParts() {
      while true {
        let part = taken.wrappingAdd(1, ordering: .relaxed).oldValue
        guard part < parts else { return }
        unsafe run(work, part * count / parts..<(part + 1) * count / parts)
      }
    }
  }

  private static func run(_ job: consuming Job, helpers: Int) {
    unsafe withUnsafeMutablePointer(to: &job) { job in
      unsafe ek_pool_run(
        helpers,
        { unsafe $0.unsafelyUnwrapped.assumingMemoryBound(to: Job.self).pointee.takeParts() }, job)
    }
  }

  private static let partsPerThread = 8
}
