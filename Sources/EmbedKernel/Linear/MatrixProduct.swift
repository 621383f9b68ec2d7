// Matrix products by `sgemm`, row-major, in pieces on this library's own threads: OpenBLAS's would
// compete with them for the cores between products.
//
// The pieces of a product follow from its shape alone. OpenBLAS's kernels may sum an element in
// another order where its matrix is cut elsewhere (those of Haswell and Zen do, those of SkylakeX don't),
// and none of them promises anything. Here every number of threads makes the same calls, so no kernel
// of any CPU can change a bit.

internal import CBLASCalls

/// A matrix in memory, or a part of its columns: rows `stride` floats apart.
@safe package struct StridedMatrix {
  package let base: UnsafeMutablePointer<Float>
  package let rows: Int
  package let columns: Int
  package let stride: Int
  package private(set) var isTransposed = false

  package init(
    _ base: UnsafeMutablePointer<Float>, _ rows: Int, _ columns: Int, stride: Int? = nil
  ) {
    unsafe self.base = base
    self.rows = rows
    self.columns = columns
    self.stride = stride ?? columns
  }

  /// The columns `range`.
  package func columns(_ range: Range<Int>) -> StridedMatrix {
    unsafe StridedMatrix(base + range.lowerBound, rows, range.count, stride: stride)
  }

  /// The rows `range`.
  package func rows(_ range: Range<Int>) -> StridedMatrix {
    unsafe StridedMatrix(base + range.lowerBound * stride, range.count, columns, stride: stride)
  }

  /// The same memory, read the other way; sizes stay those of the memory.
  package var transposed: StridedMatrix {
    var other = self
    other.isTransposed.toggle()
    return other
  }
}

/// c = scale * a * b, or c += that. Runs within `OneThreadedBLAS.run`.
@safe package struct MatrixProduct: ParallelWork {
  private let a: StridedMatrix
  private let b: StridedMatrix
  private let c: StridedMatrix
  private let scale: Float
  private let writing: GradientWriting
  private let pieces: Int

  /// Computes a product on up to `threads` threads, with the same bits on any number.
  package static func multiply(
    _ a: StridedMatrix, _ b: StridedMatrix, scale: Float = 1, _ writing: GradientWriting,
    _ c: StridedMatrix,
    threads: Int
  ) {
    let depth = a.isTransposed ? a.rows : a.columns
    let pieces = pieces(rows: c.rows, columns: c.columns, depth: depth)
    let product = MatrixProduct(
      a: a, b: b, c: c, scale: scale, writing: writing, pieces: pieces)
    unsafe withUnsafePointer(to: product) { product in
      unsafe Threads.split(pieces, threads, parts: pieces, UnsafeRawPointer(product)) {
        unsafe $0.assumingMemoryBound(to: MatrixProduct.self).pointee.run($1)
      }
    }
  }

  /// Computes a product in one call on this thread: that of a tile.
  package static func multiplyTile(
    _ a: StridedMatrix, _ b: StridedMatrix, scale: Float = 1, _ writing: GradientWriting,
    _ c: StridedMatrix
  ) {
    MatrixProduct(a: a, b: b, c: c, scale: scale, writing: writing, pieces: 1).run(0..<1)
  }

  /// The pieces of a product: stretches of rows or of columns, whichever are more, so that what every
  /// piece packs anew is the smaller factor. Two keep two cores busy; more cost packing, which is
  /// below some 3% of the work where a piece is 1024 long.
  static func pieces(rows: Int, columns: Int, depth: Int) -> Int {
    let longest = max(rows, columns)
    guard longest >= 2 * unit, Double(rows) * Double(columns) * Double(depth) >= leastWork else {
      return 1
    }
    var pieces = 2
    while pieces < mostPieces, longest / (2 * pieces) >= longestPiece { pieces *= 2 }
    return pieces
  }

  package func run(_ range: Range<Int>) { for piece in range { run(piece) } }

  private func run(_ piece: Int) {
    let byRows = c.rows >= c.columns
    let count = byRows ? c.rows : c.columns
    let (start, end) = (bound(piece, count), bound(piece + 1, count))
    guard start < end else { return }
    let (rows, columns) = byRows ? (end - start, c.columns) : (c.rows, end - start)
    let depth = a.isTransposed ? a.rows : a.columns
    let first = byRows ? start * (a.isTransposed ? 1 : a.stride) : 0
    let second = byRows ? 0 : start * (b.isTransposed ? b.stride : 1)
    let target = byRows ? start * c.stride : start
    OneThreadedBLAS.ensure()
    unsafe ek_blas_sgemm(
      a.isTransposed, b.isTransposed, Int32(rows), Int32(columns), Int32(depth), scale,
      a.base + first, Int32(a.stride), b.base + second, Int32(b.stride),
      writing == .overwrite ? 0 : 1, c.base + target, Int32(c.stride))
  }

  private func bound(_ piece: Int, _ count: Int) -> Int {
    piece == pieces ? count : piece * (count / Self.unit) / pieces * Self.unit
  }

  /// Pieces begin at multiples of this, so that the kernels' tiles fit.
  private static let unit = 32
  /// The multiplications that are worth a second thread.
  private static let leastWork = 0x1p18
  private static let longestPiece = 1_024
  private static let mostPieces = 16
}
