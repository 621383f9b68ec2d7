// The element types of tensors in GGUF files: floats and integers an element each, and ggml's quantised
// blocks, of so many elements in so many bytes.
//
// Source: ggml's list, the numbers of which stand in files. Those that ggml has taken out again are not
// known here either.

/// A type of tensors in GGUF files.
public struct GGUFType: Hashable, Sendable {
  /// Its number in a file.
  public let code: UInt32
  /// ggml's name: `F32`, `Q8_0` and so on.
  public let name: String
  /// Elements of a block; 1 where each stands alone. A row is of whole blocks.
  public let blockCount: Int
  /// Bytes of a block.
  public let blockByteCount: Int

  private init(_ code: UInt32, _ name: String, _ blockCount: Int, _ blockByteCount: Int) {
    self.code = code
    self.name = name
    self.blockCount = blockCount
    self.blockByteCount = blockByteCount
  }

  /// IEEE single precision.
  public static let float32 = GGUFType(0, "F32", 1, 4)
  /// IEEE half precision.
  public static let float16 = GGUFType(1, "F16", 1, 2)
  /// bfloat16.
  public static let bfloat16 = GGUFType(30, "BF16", 1, 2)
  /// IEEE double precision.
  public static let float64 = GGUFType(28, "F64", 1, 8)
  /// Signed bytes.
  public static let int8 = GGUFType(24, "I8", 1, 1)
  /// Signed 16-bit integers.
  public static let int16 = GGUFType(25, "I16", 1, 2)
  /// Signed 32-bit integers.
  public static let int32 = GGUFType(26, "I32", 1, 4)
  /// Signed 64-bit integers.
  public static let int64 = GGUFType(27, "I64", 1, 8)

  /// All types, by rising numbers.
  public static let all: [GGUFType] = [
    float32, float16, GGUFType(2, "Q4_0", 32, 18), GGUFType(3, "Q4_1", 32, 20),
    GGUFType(6, "Q5_0", 32, 22), GGUFType(7, "Q5_1", 32, 24), GGUFType(8, "Q8_0", 32, 34),
    GGUFType(9, "Q8_1", 32, 40), GGUFType(10, "Q2_K", 256, 84), GGUFType(11, "Q3_K", 256, 110),
    GGUFType(12, "Q4_K", 256, 144), GGUFType(13, "Q5_K", 256, 176), GGUFType(14, "Q6_K", 256, 210),
    GGUFType(15, "Q8_K", 256, 292), GGUFType(16, "IQ2_XXS", 256, 66),
    GGUFType(17, "IQ2_XS", 256, 74), GGUFType(18, "IQ3_XXS", 256, 98),
    GGUFType(19, "IQ1_S", 256, 50), GGUFType(20, "IQ4_NL", 32, 18), GGUFType(21, "IQ3_S", 256, 110),
    GGUFType(22, "IQ2_S", 256, 82), GGUFType(23, "IQ4_XS", 256, 136), int8, int16, int32, int64,
    float64, GGUFType(29, "IQ1_M", 256, 56), bfloat16, GGUFType(34, "TQ1_0", 256, 54),
    GGUFType(35, "TQ2_0", 256, 66), GGUFType(39, "MXFP4", 32, 17), GGUFType(40, "NVFP4", 64, 36),
    GGUFType(41, "Q1_0", 128, 18),
  ]

  /// The type of this number; nil for one that is not known.
  public init?(code: UInt32) {
    guard let type = Self.all.first(where: { $0.code == code }) else { return nil }
    self = type
  }

  /// The type of this name; nil for one that is not known.
  public init?(name: String) {
    guard let type = Self.all.first(where: { $0.name == name }) else { return nil }
    self = type
  }

  /// What its elements' places must be a multiple of to be read where they are; blocks are read as bytes.
  var alignment: Int { blockCount == 1 ? blockByteCount : 1 }
}

extension FileElement {
  /// The type of these elements in GGUF files; nil where they have none.
  public static var ggufType: GGUFType? {
    switch numPyType {
    case .float32: .float32
    case .float16: .float16
    case .bfloat16: .bfloat16
    case .float64: .float64
    case .int8: .int8
    case .int16: .int16
    case .int32: .int32
    case .int64: .int64
    case .bool, .uint8, .uint16, .uint32, .uint64: nil
    }
  }
}
