// OpenBLAS's own facts and threads: the library leaves these to the host program, which is us.

internal import BenchmarkHarness
internal import COpenBLAS
internal import Foundation

enum OpenBLAS {
  static func setThreads(_ count: Int) {
    openblas_set_num_threads(Int32(count))
  }

  /// Waits until OpenBLAS's threads sleep: after a call they spin for 2^26 cycles, some 26
  /// milliseconds, on the core that the next benchmark needs.
  static func settle() {
    if openblas_get_num_threads() > 1 {
      Thread.sleep(forTimeInterval: 0.06)
    }
  }

  static func addContext() {
    if let config = unsafe openblas_get_config() {
      unsafe Benchmark.addContext("openblas", String(cString: config))
    }
    if let core = unsafe openblas_get_corename() {
      unsafe Benchmark.addContext("openblas_core", String(cString: core))
    }
    Benchmark.addContext("openblas_threads", "\(openblas_get_num_threads())")
  }
}
