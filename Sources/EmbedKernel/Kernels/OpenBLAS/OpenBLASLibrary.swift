// The OpenBLAS that this process is linked with. Which one that is depends on the machine (Debian
// offers builds with pthreads, with OpenMP and without threads), so figures should name it.

internal import COpenBLAS

/// Facts about the linked OpenBLAS, for reports.
public enum OpenBLASLibrary {
  /// Version and build options, such as `OpenBLAS 0.3.21 DYNAMIC_ARCH Zen MAX_THREADS=64`.
  public static var configuration: String { unsafe text(openblas_get_config()) }

  /// The CPU core whose kernels it chose at run time.
  public static var core: String { unsafe text(openblas_get_corename()) }

  /// The threads it uses for large vectors: the host program's choice, which this library leaves as
  /// it is.
  public static var threads: Int { Int(openblas_get_num_threads()) }

  /// How it runs threads: `none`, `pthreads` or `OpenMP`.
  public static var threading: String {
    switch openblas_get_parallel() {
    case 0: "none"
    case 1: "pthreads"
    case 2: "OpenMP"
    case let other: "\(other)"
    }
  }

  private static func text(_ characters: UnsafeMutablePointer<CChar>?) -> String {
    var text = unsafe characters.map { unsafe String(cString: $0) } ?? ""
    while text.last == " " { text.removeLast() }
    return text
  }
}
