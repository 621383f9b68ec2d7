// How the rows of a table are stored: the one list of formats. A format is a file beside this one that
// says how long a row is and how it is quantised, and a C header that says how 32 of its columns become
// floats, on every instruction set.

package import CKernels
public import EmbedKernel

/// How the rows of a table are stored.
///
/// Each format is read and written byte for byte as its inventors do. Numbers that a format can't hold,
/// such as a NaN among scaled integers, are refused where they are quantised.
public enum RowFormat: String, CaseIterable, Sendable {
  /// IEEE single precision, as an `EmbeddingTable<Float>` has it.
  case float32 = "f32"
  /// IEEE half precision.
  case float16 = "f16"
  /// bfloat16.
  case bfloat16 = "bf16"
  /// int8, symmetric, times a scale of single precision a row, beside the rows.
  case int8 = "int8"
  /// The same with scales of half precision.
  case int8Half = "int8_f16"
  /// fp8 e4m3: 4 bits of exponent, 3 of fraction, no infinities.
  case fp8 = "fp8"
  /// fp8 e4m3 times a scale of single precision a row, beside the rows.
  case fp8Row = "fp8_row"
  /// fp8 e4m3 times a power of two (ue8m0) for each 32 columns, beside the rows: OCP's MXFP8.
  case fp8Block32 = "fp8_block32"
  /// fp8 e4m3 times a power of two (ue8m0) for each 128 columns, beside the rows, as DeepGEMM has it.
  case fp8Block128 = "fp8_block128"
  /// The same with scales of single precision.
  case fp8Block128Float = "fp8_block128_f32"
  /// FBGEMM's 8 bits: a byte a column, then the row's scale and bias in single precision.
  case fbgemm8
  /// FBGEMM's 4 bits: two columns a byte, then the row's scale and bias in half precision.
  case fbgemm4
  /// GGUF's Q8_0: blocks of 32 columns, a scale of half precision and 8 bits a column.
  case q8_0
  /// GGUF's Q4_0: blocks of 32 columns, a scale of half precision and 4 bits a column.
  case q4_0
  /// GGUF's Q4_K: blocks of 256 columns, 4 bits a column, 6 bits of scale and of minimum for each 32.
  case q4_K = "q4_k"
  /// GGUF's Q6_K: blocks of 256 columns, 6 bits a column, 8 bits of scale for each 16.
  case q6_K = "q6_k"

  /// How it is done.
  var coding: any RowCoding.Type {
    switch self {
    case .float32: FloatRows.self
    case .float16: SixteenBitRows<Half>.self
    case .bfloat16: SixteenBitRows<BFloat16>.self
    case .int8: Int8Rows.self
    case .int8Half: Int8HalfRows.self
    case .fp8: FP8Rows.self
    case .fp8Row: ScaledFP8Rows.self
    case .fp8Block32: MicroscaledFP8Rows.self
    case .fp8Block128: BlockFP8Rows.self
    case .fp8Block128Float: BlockFP8FloatRows.self
    case .fbgemm8: FBGEMM8Rows.self
    case .fbgemm4: FBGEMM4Rows.self
    case .q8_0: Q8_0Rows.self
    case .q4_0: Q4_0Rows.self
    case .q4_K: Q4_KRows.self
    case .q6_K: Q6_KRows.self
    }
  }

  /// What a row's length is a multiple of: the columns of a block, or 1.
  public var block: Int { coding.block }

  /// The bytes of a row of `dim` columns, without scales that stand beside the rows.
  ///
  /// - Throws: `invalidSize` for a dim that the format has no rows of.
  public func rowBytes(dim: Int) throws(EmbedError) -> Int {
    guard dim > 0 else { throw .invalidSize(argument: "dim", value: dim, expected: "1 or more") }
    guard dim % block == 0 else {
      throw .invalidSize(
        argument: "dim", value: dim,
        expected: "a multiple of \(block), as rows of \(rawValue) have it")
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
