// Matrix products through `cblas_sgemm`, row-major, with sizes checked against BLAS's integers.
//
// OpenBLAS runs on its own threads, whose number is the host program's and is left as found. It
// promises no bits: another thread count or core may sum in another order.

internal import COpenBLAS

/// A matrix in memory: `rows` times `columns`, row after row.
@safe struct MatrixView {
  let name: String
  let base: UnsafePointer<Float>
  let rows: Int
  let columns: Int
  let bytes: Int
  /// Whether a product reads it the other way.
  private(set) var isTransposed = false

  /// The same memory, read the other way; `rows` and `columns` stay those of the memory.
  var transposed: MatrixView {
    var other = self
    other.isTransposed.toggle()
    return other
  }

  /// - Throws: `sizeOverflow`, `wrongElementCount`.
  init(
    _ name: String, _ elements: UnsafeBufferPointer<Float>, _ rows: Int, _ columns: Int
  ) throws(EmbedError) {
    let count = try elementCount(name, rows, columns)
    try ForwardPass.check(name, elements.count, count, [rows, columns])
    self.name = name
    // An empty matrix may have no address; then BLAS reads nothing.
    unsafe base =
      elements.baseAddress ?? UnsafePointer(bitPattern: 64).unsafelyUnwrapped
    self.rows = rows
    self.columns = columns
    bytes = count * 4
  }

  /// A table's matrix.
  init(_ name: String, _ table: EmbeddingTable) {
    self.name = name
    unsafe base = UnsafePointer(table.unsafeBuffer.baseAddress.unsafelyUnwrapped)
    (rows, columns) = (table.rows, table.dim)
    bytes = rows * columns * 4
  }

  var memory: Memory { unsafe Memory(base, bytes) }
}

/// A matrix that is written.
@safe struct MutableMatrixView {
  let view: MatrixView
  let base: UnsafeMutablePointer<Float>

  init(
    _ name: String, _ elements: UnsafeMutableBufferPointer<Float>, _ rows: Int, _ columns: Int
  ) throws(EmbedError) {
    view = try unsafe MatrixView(name, UnsafeBufferPointer(elements), rows, columns)
    unsafe base = UnsafeMutablePointer(mutating: view.base)
  }

  /// Checks that this shares no memory with `inputs`.
  func checkApart(from inputs: MatrixView...) throws(EmbedError) {
    for input in inputs where view.memory.overlaps(input.memory) {
      throw .overlappingMemory(argument: input.name)
    }
  }
}

enum MatrixProduct {
  /// Checks that BLAS can count the sizes.
  ///
  /// - Throws: `invalidSize` for one past its integers' range.
  static func check(_ matrices: MatrixView...) throws(EmbedError) {
    for matrix in matrices {
      for (side, size) in [("rows", matrix.rows), ("columns", matrix.columns)]
      where blasint(exactly: size) == nil {
        throw .invalidSize(
          argument: "\(side) of \(matrix.name)", value: size,
          expected: "at most \(blasint.max), the largest that BLAS counts")
      }
    }
  }

  /// c = scale * a * b, or c += scale * a * b with `.add`; sizes have been checked.
  static func multiply(
    _ a: MatrixView, _ b: MatrixView, scale: Float = 1, _ writing: Writing, _ c: MutableMatrixView
  ) {
    let depth = a.isTransposed ? a.rows : a.columns
    let (rows, columns) = (c.view.rows, c.view.columns)
    guard rows > 0, columns > 0 else { return }
    unsafe cblas_sgemm(
      CblasRowMajor, a.isTransposed ? CblasTrans : CblasNoTrans,
      b.isTransposed ? CblasTrans : CblasNoTrans, blasint(rows), blasint(columns),
      blasint(depth), scale, a.base, blasint(max(1, a.columns)), b.base,
      blasint(max(1, b.columns)), writing == .overwrite ? 0 : 1, c.base, blasint(columns))
  }

  /// What happens to the product's old values.
  enum Writing {
    case overwrite
    case add
  }
}
