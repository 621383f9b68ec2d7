// Matrices that callers give to products, with sizes checked against their memory and BLAS's integers.
//
// Products run on as many threads as the host program has given OpenBLAS, but on this library's own:
// their number changes no bit. Another core's kernels may.

internal import CBLASCalls

/// A matrix in memory: `rows` times `columns`, row after row.
@safe package struct MatrixView {
  let name: String
  package let base: UnsafePointer<Float>
  package let rows: Int
  let columns: Int
  let bytes: Int
  /// Whether a product reads it the other way.
  private(set) var isTransposed = false

  /// The same memory, read the other way; `rows` and `columns` stay those of the memory.
  package var transposed: MatrixView {
    var other = self
    other.isTransposed.toggle()
    return other
  }

  /// - Throws: `sizeOverflow`, `wrongElementCount`.
  package init(
    _ name: String, _ elements: UnsafeBufferPointer<Float>, _ rows: Int, _ columns: Int
  ) throws(EmbedError) {
    let count = try elementCount(name, rows, columns)
    try EmbedCall.check(name, elements.count, count, [rows, columns])
    self.name = name
    // An empty matrix may have no address; then BLAS reads nothing.
    unsafe base =
      elements.baseAddress ?? UnsafePointer(bitPattern: 64).unsafelyUnwrapped
    self.rows = rows
    self.columns = columns
    bytes = count * 4
  }

  /// A table's matrix.
  package init(_ name: String, _ table: EmbeddingTable<Float>) {
    self.name = name
    unsafe base = UnsafePointer(table.unsafeBuffer.baseAddress.unsafelyUnwrapped)
    (rows, columns) = (table.rows, table.dim)
    bytes = rows * columns * 4
  }

  var memory: Memory { unsafe Memory(base, bytes) }
}

/// A matrix that is written.
@safe package struct MutableMatrixView {
  package let view: MatrixView
  package let base: UnsafeMutablePointer<Float>

  package init(
    _ name: String, _ elements: UnsafeMutableBufferPointer<Float>, _ rows: Int, _ columns: Int
  ) throws(EmbedError) {
    view = try unsafe MatrixView(name, UnsafeBufferPointer(elements), rows, columns)
    unsafe base = UnsafeMutablePointer(mutating: view.base)
  }

  /// Checks that this shares no memory with `inputs`.
  package func checkApart(from inputs: MatrixView...) throws(EmbedError) {
    for input in inputs where view.memory.overlaps(input.memory) {
      throw .overlappingMemory(argument: input.name)
    }
  }
}

extension MatrixProduct {
  /// Opens OpenBLAS and checks that it can count the sizes.
  ///
  /// - Throws: `unavailableLibrary`; `invalidSize` for one past its integers' range.
  package static func check(_ matrices: MatrixView...) throws(EmbedError) {
    try OpenBLASLibrary.open()
    for matrix in matrices {
      for (side, size) in [("rows", matrix.rows), ("columns", matrix.columns)]
      where Int32(exactly: size) == nil {
        throw .invalidSize(
          argument: "\(side) of \(matrix.name)", value: size,
          expected: "at most \(Int32.max), the largest that BLAS counts")
      }
    }
  }

  /// c = scale * a * b, or c += scale * a * b with `.add`; `check` has been called.
  package static func multiply(
    _ a: MatrixView, _ b: MatrixView, scale: Float = 1, _ writing: Writing, _ c: MutableMatrixView
  ) {
    guard c.view.rows > 0, c.view.columns > 0 else { return }
    let threads = min(OneThreadedBLAS.hostThreads, Threads.available)
    OneThreadedBLAS.runOpen {
      multiply(
        a.matrix, b.matrix, scale: scale, writing == .overwrite ? .overwrite : .accumulate,
        unsafe StridedMatrix(c.base, c.view.rows, c.view.columns), threads: threads)
    }
  }

  /// What happens to the product's old values.
  package enum Writing {
    case overwrite
    case add
  }
}

extension MatrixView {
  /// The matrix as products take it; an empty one's rows are still a float apart.
  fileprivate var matrix: StridedMatrix {
    let matrix = unsafe StridedMatrix(
      UnsafeMutablePointer(mutating: base), rows, columns, stride: max(1, columns))
    return isTransposed ? matrix.transposed : matrix
  }
}
