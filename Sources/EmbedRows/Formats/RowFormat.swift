// How the rows of a table are stored: the one list of formats. A format is a file beside this one that
// says how long a row is and how it is quantised, and a C header that says how 32 of its columns become
// floats, on every instruction set.

package import CKernels
public import EmbedKernel

/// How the rows of a table are stored.
///
/// Each format is read and written byte for byte as its inventors do.
public enum RowFormat: String, CaseIterable, Sendable {
  /// IEEE single precision, as an `EmbeddingTable<Float>` has it.
  case float32 = "f32"
  /// IEEE half precision.
  case float16 = "f16"
  /// bfloat16.
  case bfloat16 = "bf16"
  /// int8, symmetric, with a scale of single precision a row: `q * scale`.
  case int8 = "int8"
  /// The same with a scale of half precision.
  case int8Half = "int8_f16"

  /// How it is done.
  var coding: any RowCoding.Type {
    switch self {
    case .float32: FloatRows.self
    case .float16: SixteenBitRows<Half>.self
    case .bfloat16: SixteenBitRows<BFloat16>.self
    case .int8: Int8Rows.self
    case .int8Half: Int8HalfRows.self
    }
  }

  /// The columns of a block: a row's length is a multiple of it.
  public var block: Int { coding.block }

  /// The bytes of a row of `dim` columns, without scales that stand beside the rows.
  ///
  /// - Throws: `invalidSize` for a dim that the format has no rows of.
  public func rowBytes(dim: Int) throws(EmbedError) -> Int {
    guard dim > 0 else { throw .invalidSize(argument: "dim", value: dim, expected: "1 or more") }
    guard dim % block == 0 else {
      throw .invalidSize(
        argument: "dim", value: dim,
        expected: "a multiple of \(block), the block of \(rawValue) rows")
    }
    _ = try elementCount("row", dim, 1)
    return coding.rowBytes(dim)
  }

  /// The bytes of a row's scales, where they stand beside the rows, or 0.
  ///
  /// - Throws: `invalidSize` for a dim that the format has no rows of.
  public func scaleBytes(dim: Int) throws(EmbedError) -> Int {
    _ = try rowBytes(dim: dim)
    return coding.scaleBytes(dim)
  }

  package var code: ek_row_format { coding.code }
}

extension RowFormat {
  /// The format of elements of `type`.
  public init(_ type: ElementType) {
    self =
      switch type {
      case .float32: .float32
      case .float16: .float16
      case .bfloat16: .bfloat16
      }
  }
}

/// A format: a row's sizes, and how it is quantised.
protocol RowCoding {
  /// The format's name to the kernels.
  static var code: ek_row_format { get }

  /// A row's length is a multiple of this.
  static var block: Int { get }

  /// The bytes of a row whose length is checked.
  static func rowBytes(_ dim: Int) -> Int

  /// The bytes of its scales, where they stand beside the rows.
  static func scaleBytes(_ dim: Int) -> Int

  /// Writes a row by the inventor's rule, in `rowBytes` and `scaleBytes` bytes.
  ///
  /// - Returns: The column of a number that the format can't hold, after which the bytes have no meaning;
  ///   nil where all is well.
  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int?
}

extension RowCoding {
  static var block: Int { 1 }
  static func scaleBytes(_ dim: Int) -> Int { 0 }
}

extension UnsafeBufferPointer<Float> {
  /// The first column that is infinite or not a number.
  var firstNotFinite: Int? { unsafe firstIndex { !$0.isFinite } }

  /// The column of the largest magnitude, the first of such.
  var largest: Int {
    var (found, most) = (0, -Float.infinity)
    for i in 0..<count where unsafe self[i].magnitude > most {
      unsafe (found, most) = (i, self[i].magnitude)
    }
    return found
  }
}
