// OpenBLAS on one thread while this library's passes run. Its number of threads belongs to the process
// and picks kernels besides: on more than one thread OpenBLAS cuts a product by their number, and some
// cores take other kernels for small ones. So passes set it to 1 and give it back.
//
// Passes are counted, as several may run at once: the first one notes the host program's number, the
// last one brings it back. A number that the host sets meanwhile is its new choice: it is noted, and
// comes into force with the last pass's end. A host that chooses 1 in the midst of a pass can't be told
// from the pass itself; `OpenBLASLibrary.setThreads` can. Every product looks at the number before it
// calls; one that the host sets between that look and OpenBLAS's own, by another function than
// `setThreads`, is that product's.

internal import CBLASCalls

package enum OneThreadedBLAS {
  private struct State {
    var passes = 0
    /// The host program's number, while passes run.
    var hosts: Int32 = 1
  }

  private static let state = Guarded(State())

  /// Runs `pass` with OpenBLAS on one thread, on this thread and on helpers that make products through
  /// `MatrixProduct`. Passes may run at once, and within another.
  ///
  /// - Throws: `unavailableLibrary` before the pass, and what it throws. Allocates nothing.
  package static func run<Result>(
    _ pass: () throws(EmbedError) -> Result
  ) throws(EmbedError) -> Result {
    try OpenBLASLibrary.open()
    begin()
    defer { end() }
    return try pass()
  }

  /// The same where the library has been opened.
  static func runOpen(_ pass: () -> Void) {
    begin()
    pass()
    end()
  }

  /// The host program's number of threads, whether passes run or not.
  package static var hostThreads: Int {
    state.withLock {
      if $0.passes == 0 { return Int(ek_blas_threads()) }
      note(&$0)
      return Int($0.hosts)
    }
  }

  /// Sets the host program's number: at once, or when the last pass ends.
  static func setHostThreads(_ count: Int32) {
    state.withLock {
      $0.hosts = count
      if $0.passes == 0 { ek_blas_set_threads(count) }
    }
  }

  /// Sees to it that a product about to run on this thread, in a pass, takes one thread, though the host
  /// has just set another number.
  @inline(__always)
  static func ensure() {
    if isPerThread || ek_blas_threads() != 1 { correct() }
  }

  private static func begin() {
    state.withLock {
      if $0.passes == 0 { $0.hosts = ek_blas_threads() } else { note(&$0) }
      $0.passes += 1
      if isPerThread || $0.hosts != 1 { ek_blas_set_threads(1) }
    }
  }

  private static func end() {
    state.withLock {
      note(&$0)
      $0.passes -= 1
      let isLast = $0.passes == 0
      if isPerThread || isLast && $0.hosts != 1 { ek_blas_set_threads($0.hosts) }
    }
  }

  private static func correct() {
    state.withLock {
      guard $0.passes > 0 else { return }
      note(&$0)
      ek_blas_set_threads(1)
    }
  }

  /// Takes a number that isn't the passes' as the host's.
  private static func note(_ state: inout State) {
    let threads = ek_blas_threads()
    if threads != 1 { state.hosts = threads }
  }

  /// Builds with OpenMP keep a number for each thread beside the process's.
  private static let isPerThread = ek_blas_threading() == 2
}
