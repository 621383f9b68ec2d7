// The OpenBLAS that this process uses. Which one that is depends on the machine (Debian offers builds
// with pthreads, with OpenMP and without threads), so figures should name it. It is opened by the first
// call that needs it, not with the program: it starts its threads as soon as it is loaded.

internal import CBLASCalls

/// Facts about OpenBLAS, for reports; each opens the library.
public enum OpenBLASLibrary {
  /// Version and build options, such as `OpenBLAS 0.3.21 DYNAMIC_ARCH Zen MAX_THREADS=64`; why it can't be
  /// used, where it can't.
  public static var configuration: String { fault ?? options }

  /// Asked for once: every call of `openblas_get_config` writes into the same memory.
  private static let options = unsafe text(ek_blas_configuration())

  /// The CPU core whose kernels it chose at run time; `none` without the library.
  public static var core: String { unsafe fault == nil ? text(ek_blas_core()) : "none" }

  /// The threads it uses for large vectors, and that projections use: the host program's choice. Passes
  /// of this library run OpenBLAS on one thread meanwhile and then bring this number back.
  public static var threads: Int { fault == nil ? OneThreadedBLAS.hostThreads : 0 }

  /// Sets the number of threads, as `openblas_set_num_threads` does, and also where a pass of this
  /// library runs at this moment: it is in force when the pass ends.
  ///
  /// - Throws: `invalidSize` for a number below 1, `unavailableLibrary`.
  public static func setThreads(_ count: Int) throws(EmbedError) {
    guard count >= 1, let number = Int32(exactly: count) else {
      throw .invalidSize(argument: "threads", value: count, expected: "1 or more")
    }
    try open()
    OneThreadedBLAS.setHostThreads(number)
  }

  /// How it runs threads: `none`, `pthreads` or `OpenMP`.
  public static var threading: String {
    guard fault == nil else { return "none" }
    return switch ek_blas_threading() {
    case 0: "none"
    case 1: "pthreads"
    case 2: "OpenMP"
    case let other: "\(other)"
    }
  }

  /// Opens the library, if that has not happened.
  ///
  /// - Throws: `unavailableLibrary`.
  package static func open() throws(EmbedError) {
    guard unsafe ek_blas_open() != nil else { return }
    throw .unavailableLibrary(name: "OpenBLAS", reason: fault ?? "")
  }

  /// Why it can't be used.
  private static var fault: String? { unsafe ek_blas_open().map { unsafe String(cString: $0) } }

  private static func text(_ characters: UnsafePointer<CChar>?) -> String {
    var text = unsafe characters.map { unsafe String(cString: $0) } ?? ""
    while text.last == " " { text.removeLast() }
    return text
  }
}
