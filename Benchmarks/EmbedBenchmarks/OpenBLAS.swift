// OpenBLAS's own facts and threads: the library leaves these to the host program, which is us.

internal import BenchmarkHarness
internal import CBLASCalls
internal import EmbedKernel
internal import Foundation

enum OpenBLAS {
  static func setThreads(_ count: Int) {
    ek_blas_set_threads(Int32(count))
  }

  /// Waits until OpenBLAS's threads sleep: after a call they spin for 2^26 cycles, some 26
  /// milliseconds, on the core that the next benchmark needs.
  static func settle() {
    if ek_blas_threads() > 1 {
      Thread.sleep(forTimeInterval: 0.06)
    }
  }

  static func addContext() {
    Benchmark.addContext("openblas", OpenBLASLibrary.configuration)
    Benchmark.addContext("openblas_core", OpenBLASLibrary.core)
    Benchmark.addContext("openblas_threads", "\(OpenBLASLibrary.threads)")
  }
}
