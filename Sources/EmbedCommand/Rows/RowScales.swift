// Scales that models have beside int8 and fp8 tensors, by the conventions of those who publish them:
//
//     X.weight_scale       compressed-tensors, FBGEMM's and ModelOpt's fp8, OCP's MXFP8
//     X.weight_scale_inv   DeepSeek and transformers' fine-grained fp8: multiplied too, whatever the name
//     X.scale, X.scale_weight   others that multiply
//     X.SCB                bitsandbytes' int8: 127 times the scale
//
// What a scale is for follows from its shape: the table, a row, blocks of 128 x 128, or of 1 x 128 and
// 1 x 32. Nothing is guessed: a tensor beside the table that is not known here is refused by name, for rows
// without it would be wrong.

internal import EmbedKernel
internal import EmbedRows

/// A table's scales.
struct RowScales {
  /// What the table's rows are with them.
  let format: RowFormat
  let bytes: TensorBytes
  /// Rows that share their scales.
  let rowsAScale: Int

  /// The names' ends, after what the table's name has before `weight`.
  private static let endings = [
    "weight_scale", "weight_scale_inv", "scale", "scale_weight", "scale_inv", "SCB",
  ]
  /// What leaves a row's values as they are where it is zero: zero points, and bitsandbytes' layout.
  private static let zeros = ["weight_zero_point", "weight_format"]
  /// What has no part in a row's values: scales of a product's other factor, and a layer's bias.
  private static let harmless = ["input_scale", "input_scale_ub", "scale_input", "bias"]

  // MARK: Which tensors

  /// The scales beside the only array of `file`; nil where there are none.
  init?(beside file: TensorFile, format: RowFormat?) throws {
    var found: String?
    for (other, ending) in Self.beside(file) {
      if Self.endings.contains(ending) {
        guard found == nil else {
          throw CommandError.data(
            "'\(file.path)': which scales are meant, \(quoted(found ?? "")) or \(quoted(other))?")
        }
        found = other
      } else if Self.zeros.contains(ending) {
        try Self.requireZeros(file.array(other), beside: file.tensors[0].name ?? "")
      } else if !Self.harmless.contains(ending) {
        throw CommandError.data(
          "'\(file.path)': tensor \(quoted(other)) stands beside the table, and what it does to the rows is "
            + "not known")
      }
    }
    guard let found else {
      guard let other = Self.stray(file) else { return nil }
      throw CommandError.data(
        "'\(file.path)': are \(quoted(other)) the scales of the rows? Their name does not say so, and "
          + "--\(RowOptions.rowScales.name) does not name any")
    }
    try self.init(
      file.array(found), of: file, is127Times: found.hasSuffix("SCB"), format: format)
  }

  /// The tensors beside the only array of `file`, and the ends of their names after what the table's has
  /// before `weight`.
  private static func beside(_ file: TensorFile) -> [(name: String, ending: String)] {
    guard let name = file.tensors[0].name else { return [] }
    let stem = name.hasSuffix("weight") ? String(name.dropLast(6)) : name + "."
    return file.names.compactMap { other in
      guard other != name else { return nil }
      if !stem.isEmpty, other.hasPrefix(stem), !other.dropFirst(stem.count).contains(".") {
        return (other, String(other.dropFirst(stem.count)))
      }
      guard other.hasPrefix(name + "_") || other.hasPrefix(name + ".") else { return nil }
      return (other, "weight" + other.dropFirst(name.count))
    }
  }

  /// A tensor in the same part of the model as the only array of `file` that is called scales, and not those
  /// of another tensor.
  private static func stray(_ file: TensorFile) -> String? {
    guard let name = file.tensors[0].name else { return nil }
    func split(_ name: String) -> (part: Substring, last: Substring) {
      let end = name.lastIndex(of: ".").map { name.index(after: $0) } ?? name.startIndex
      return (name[..<end], name[end...])
    }
    let (part, last) = split(name)
    let beside = file.names.filter { $0 != name && split($0).part == part }
    return beside.first { other in
      let ending = split(other).last
      return (ending.lowercased().contains("scale") || ending.hasSuffix("SCB"))
        && !harmless.contains { ending.hasSuffix($0) }
        && !beside.contains { owner in
          let owner = split(owner).last
          return owner != last && (ending.hasPrefix(owner + "_") || ending.hasPrefix(owner + "."))
        }
    }
  }

  /// The names of what belongs to the rows of the only array of `file`, where it is of a type that has
  /// scales.
  static func names(beside file: TensorFile) -> [String] {
    let type = file.tensors[0].type
    guard type == .int8 || type == .float8e4m3 || type == .uint8 else { return [] }
    return beside(file).filter { endings.contains($0.ending) || zeros.contains($0.ending) }.map(
      \.name)
  }

  /// Refuses zero points that are not zero, and layouts other than by row.
  private static func requireZeros(_ file: TensorFile, beside name: String) throws {
    let values: [Int64] = try ArrayFile(file).integers()
    guard let other = values.first(where: { $0 != 0 }) else { return }
    throw CommandError.data(
      "'\(file.path)': expected zeros, which leave the rows of \(quoted(name)) as they are, found \(other)"
    )
  }

  // MARK: What they are

  /// The scales of an array for the rows of the only array of `weights`.
  ///
  /// - Parameter format: What the rows are, where the type of the weights does not tell.
  init(
    _ file: TensorFile, of weights: TensorFile, is127Times: Bool = false, format: RowFormat?
  ) throws {
    let tensor = weights.tensors[0]
    let (rows, dim) = (tensor.shape[0], tensor.shape[1])
    let isInteger = format.map { $0 == .int8 || $0 == .int8Half } ?? (tensor.type == .int8)
    let scales = file.tensors[0]
    guard let (rowsAScale, blocks) = Self.grid(scales.shape, rows, dim) else {
      throw SafetensorsError.shape(
        path: file.path, tensor: scales.name ?? "array",
        expected:
          "[], [1], [\(rows)], [\(rows), 1], or a scale for each block of 128 x 128, 1 x 128 or "
          + "1 x 32 of [\(rows), \(dim)]",
        found: scales.shape)
    }
    self.rowsAScale = rowsAScale
    let columns = blocks ?? (rowsAScale == 1 ? Self.onlyBlock(scales, dim, format) : nil)
    guard !is127Times || isInteger else {
      throw CommandError.data(
        "'\(file.path)': bitsandbytes' scales are for int8 rows; \(quoted(tensor.name ?? "")) is of "
          + tensor.type.rawValue)
    }
    let isByte = scales.type == .float8e8m0 || scales.type == .uint8
    guard is127Times || isByte || scales.type.isFloat && scales.type != .float64,
      !isInteger || !isByte && columns == nil, !is127Times || scales.type == .float32,
      // Bytes could be anything; as powers of two they come with blocks.
      scales.type != .uint8 || columns != nil
    else {
      throw SafetensorsError.elementType(
        path: file.path, tensor: scales.name ?? "array",
        expected: isInteger
          ? "F32, F16 or BF16, a scale a row, as \(quoted(tensor.name ?? "the table")) is int8"
          : "F32, F16, BF16 or F8_E8M0",
        found: scales.type)
    }
    switch columns {
    case nil:
      if isInteger, scales.type == .float16, format != .int8 {
        (self.format, bytes) = (.int8Half, try file.bytes())
      } else {
        self.format = isInteger ? .int8 : .fp8Row
        bytes = try Self.floats(file, dividedBy: is127Times ? 127 : 1)
      }
    case 128 where !isByte:
      (self.format, bytes) = (.fp8Block128Float, try Self.floats(file))
    case let columns:
      self.format = columns == 32 ? .fp8Block32 : .fp8Block128
      bytes = isByte ? try file.bytes() : try Self.powersOfTwo(file)
    }
  }

  /// How many rows share a scale, and how many columns do where not all.
  private static func grid(
    _ shape: [Int], _ rows: Int, _ dim: Int
  ) -> (rowsAScale: Int, columns: Int?)? {
    if shape.allSatisfy({ $0 == 1 }), shape.count < 3 { return (rows, nil) }
    if shape == [rows] || shape == [rows, 1] { return (1, nil) }
    let (tall, wide, narrow) = ((rows + 127) / 128, (dim + 127) / 128, (dim + 31) / 32)
    if shape == [tall, wide] { return (128, 128) }
    if shape == [rows, wide] { return (1, 128) }
    if shape == [rows, narrow] { return (1, 32) }
    return nil
  }

  /// The columns of a block, where a row is no longer than one and its scale the block's, as the rows are said
  /// to have them; bytes come with blocks alone.
  private static func onlyBlock(_ scales: Tensor, _ dim: Int, _ format: RowFormat?) -> Int? {
    switch format {
    case .fp8Block32 where dim <= 32: 32
    case .fp8Block128 where dim <= 128, .fp8Block128Float where dim <= 128: 128
    case nil where scales.type == .uint8 && scales.shape.count == 2 && dim <= 128:
      dim <= 32 ? 32 : 128
    default: nil
    }
  }

  /// The scales in single precision: the file's own bytes, or widened, which is exact.
  private static func floats(_ file: TensorFile, dividedBy divisor: Float = 1) throws -> TensorBytes
  {
    let tensor = file.tensors[0]
    if tensor.type == .float32, divisor == 1 { return try file.bytes() }
    let source = try file.bytes()
    var floats = try AlignedBuffer<Float>(count: tensor.count)
    var span = floats.mutableSpan
    let bytes = unsafe RawSpan(_unsafeBytes: source.bytes)
    if tensor.type == .float8e8m0 {
      for i in 0..<tensor.count { span[i] = Self.powerOfTwo(unsafe source.bytes[i]) }
    } else {
      try widen(bytes, tensor.type, into: &span)
    }
    for i in 0..<tensor.count where divisor != 1 { span[i] /= divisor }
    return TensorBytes(floats)
  }

  /// 2^(byte - 127); the last byte is no number.
  private static func powerOfTwo(_ byte: UInt8) -> Float {
    byte == 255 ? .nan : Float(sign: .plus, exponent: Int(byte) - 127, significand: 1)
  }

  /// Floats that are powers of two as bytes; others have no rows in blocks of 32.
  private static func powersOfTwo(_ file: TensorFile) throws -> TensorBytes {
    let source = try floats(file)
    let count = file.tensors[0].count
    var bytes = try AlignedBuffer<UInt8>(count: count)
    for i in 0..<count {
      let scale = unsafe source.bytes.loadUnaligned(fromByteOffset: 4 * i, as: Float.self)
      let exponent = scale.isFinite && scale > 0 ? Int(scale.exponent) : .max
      let byte = exponent == .max ? 255 : exponent + 127
      guard byte >= 0, byte < 255, powerOfTwo(UInt8(byte)) == scale else {
        throw CommandError.data(
          "'\(file.path)': scale \(i) is \(Double(scale).legible); expected a power of two, which scales of "
            + "blocks of 32 are")
      }
      bytes[i] = UInt8(byte)
    }
    return TensorBytes(bytes)
  }
}
