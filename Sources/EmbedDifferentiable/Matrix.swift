// A matrix as a value that Swift's automatic differentiation can carry: parameters, activations and
// tangents alike.

public import EmbedKernel
public import _Differentiation

/// `rows` vectors of `dim` floats with value semantics, or the zero of any shape.
///
/// Copies share memory until one is written to. The zero holds none: as a parameter it is a part
/// that is absent, as a tangent a gradient that is zero.
public struct Matrix: Differentiable, AdditiveArithmetic {
  /// A tangent is a matrix as well.
  public typealias TangentVector = Matrix

  /// The elements; nil for the zero. Not written to: other values may share it.
  public private(set) var table: EmbeddingTable<Float>?

  /// The zero of any shape.
  public static var zero: Matrix { Matrix() }

  private init() { table = nil }

  /// Takes a table, which nothing may write to from now on.
  public init(_ table: EmbeddingTable<Float>) { self.table = table }

  /// Copies `elements`, shape `[rows, dim]`.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `wrongElementCount`, `outOfMemory`.
  public init(rows: Int, dim: Int, _ elements: [Float]) throws(EmbedError) {
    let span = elements.span
    table = try EmbeddingTable<Float>(rows: rows, dim: dim, copying: span)
  }

  /// The number of rows; 0 for the zero.
  public var rows: Int { table?.rows ?? 0 }

  /// The number of floats of a row; 0 for the zero.
  public var dim: Int { table?.dim ?? 0 }

  /// The elements, copied, row after row.
  public var elements: [Float] { table.map { unsafe Array($0.unsafeBuffer) } ?? [] }

  /// The element-wise sum.
  ///
  /// - Precondition: Equal shapes, unless one is the zero.
  public static func + (a: Matrix, b: Matrix) -> Matrix { a.combined(with: b, by: 1) }

  /// The element-wise difference.
  ///
  /// - Precondition: Equal shapes, unless one is the zero.
  public static func - (a: Matrix, b: Matrix) -> Matrix { a.combined(with: b, by: -1) }

  /// Whether shapes and elements are equal; the zero equals the zero alone.
  public static func == (a: Matrix, b: Matrix) -> Bool {
    a.rows == b.rows && a.dim == b.dim && a.elements == b.elements
  }

  /// Adds `offset`: a step along a tangent. Writes in place where no other value shares the memory.
  public mutating func move(by offset: Matrix) { add(offset, times: 1) }

  /// Adds `scale * other` to each element.
  ///
  /// - Precondition: Equal shapes, unless one is the zero.
  public mutating func add(_ other: Matrix, times scale: Float) {
    guard let source = other.table else { return }
    let target = makeUnique(rows: source.rows, dim: source.dim)
    let (sums, values) = unsafe (target.unsafeBuffer, source.unsafeBuffer)
    for i in 0..<values.count { unsafe sums[i] += scale * values[i] }
  }

  private func combined(with other: Matrix, by scale: Float) -> Matrix {
    var result = self
    result.add(other, times: scale)
    return result
  }

  /// The elements, which no other value shares; of the zero, a new table of zeros.
  private mutating func makeUnique(rows: Int, dim: Int) -> EmbeddingTable<Float> {
    if let table {
      precondition(
        table.rows == rows && table.dim == dim,
        "a [\(rows), \(dim)] matrix was added to one of [\(table.rows), \(table.dim)]")
      if isKnownUniquelyReferenced(&self.table) { return table }
      let copy = allocate(rows, dim)
      unsafe _ = copy.unsafeBuffer.update(fromContentsOf: UnsafeBufferPointer(table.unsafeBuffer))
      self.table = copy
      return copy
    }
    let made = allocate(rows, dim)
    table = made
    return made
  }
}

/// A table of zeros whose sizes are those of a matrix that exists.
func allocate(_ rows: Int, _ dim: Int) -> EmbeddingTable<Float> {
  trapping { () throws(EmbedError) in try EmbeddingTable<Float>(rows: rows, dim: dim) }
}

/// The result of `body`, or a trap that says what was wrong: Swift differentiates no function that
/// throws, so faults of programs end them, and faults of data are thrown by `InputBatch`.
func trapping<Result>(_ body: () throws(EmbedError) -> Result) -> Result {
  do throws(EmbedError) {
    return try body()
  } catch {
    fatalError("\(error)")
  }
}
