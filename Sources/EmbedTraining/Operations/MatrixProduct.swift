// Matrix products by `cblas_sgemm`, row-major, split over this library's own threads: OpenBLAS's
// would compete with them for the cores between products.

internal import COpenBLAS
internal import EmbedKernel

/// A matrix in memory, or a part of its columns: rows `stride` floats apart.
@safe struct Matrix {
  let base: UnsafeMutablePointer<Float>
  let rows: Int
  let columns: Int
  let stride: Int
  private(set) var isTransposed = false

  init(_ base: UnsafeMutablePointer<Float>, _ rows: Int, _ columns: Int, stride: Int? = nil) {
    unsafe self.base = base
    self.rows = rows
    self.columns = columns
    self.stride = stride ?? columns
  }

  /// The columns `range`.
  func columns(_ range: Range<Int>) -> Matrix {
    unsafe Matrix(base + range.lowerBound, rows, range.count, stride: stride)
  }

  /// The rows `range`.
  func rows(_ range: Range<Int>) -> Matrix {
    unsafe Matrix(base + range.lowerBound * stride, range.count, columns, stride: stride)
  }

  /// The same memory, read the other way; sizes stay those of the memory.
  var transposed: Matrix {
    var other = self
    other.isTransposed.toggle()
    return other
  }
}

/// c = scale * a * b, or c += that.
@safe struct MatrixProduct: PassWork {
  private let a: Matrix
  private let b: Matrix
  private let c: Matrix
  private let scale: Float
  private let writing: GradientWriting
  private let parts: Int

  /// Computes a product on `threads` threads.
  static func multiply(
    _ a: Matrix, _ b: Matrix, scale: Float = 1, _ writing: GradientWriting, _ c: Matrix,
    threads: Int = 1
  ) {
    let longest = max(c.rows, c.columns)
    let threads = max(1, min(threads, longest / unit))
    let product = MatrixProduct(
      a: a, b: b, c: c, scale: scale, writing: writing, parts: threads)
    Parallel.shares(threads, product)
  }

  /// Does some of the parts: stretches of rows or of columns, whichever are more, so that what all
  /// threads pack is the smaller factor.
  func run(_ range: Range<Int>) {
    let byRows = c.rows >= c.columns
    let count = byRows ? c.rows : c.columns
    let start = bound(range.lowerBound, count)
    let end = bound(range.upperBound, count)
    guard start < end else { return }
    let (rows, columns) = byRows ? (end - start, c.columns) : (c.rows, end - start)
    let depth = a.isTransposed ? a.rows : a.columns
    let first = byRows ? start * (a.isTransposed ? 1 : a.stride) : 0
    let second = byRows ? 0 : start * (b.isTransposed ? b.stride : 1)
    let target = byRows ? start * c.stride : start
    unsafe cblas_sgemm(
      CblasRowMajor, a.isTransposed ? CblasTrans : CblasNoTrans,
      b.isTransposed ? CblasTrans : CblasNoTrans, blasint(rows), blasint(columns), blasint(depth),
      scale, a.base + first, blasint(a.stride), b.base + second, blasint(b.stride),
      writing == .overwrite ? 0 : 1, c.base + target, blasint(c.stride))
  }

  private func bound(_ part: Int, _ count: Int) -> Int {
    part == parts ? count : part * (count / Self.unit) / parts * Self.unit
  }

  /// Parts begin at multiples of this, so that the kernels' tiles fit.
  private static let unit = 32
}

/// OpenBLAS on one thread for as long as a pass runs; the host program's number comes back after.
enum OneThreadedBLAS {
  static func run<Failure: Error>(_ pass: () throws(Failure) -> Void) throws(Failure) {
    let threads = openblas_get_num_threads()
    if threads != 1 { openblas_set_num_threads(1) }
    defer { if threads != 1 { openblas_set_num_threads(threads) } }
    try pass()
  }
}
