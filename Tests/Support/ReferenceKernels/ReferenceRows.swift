// Rows of every format decoded by plain loops, a column at a time, each format by its definition.

extension Reference {
  /// The columns of a row.
  ///
  /// - Parameters:
  ///   - format: Its name, as `RowFormat` has it.
  ///   - row: The row's bytes.
  ///   - scales: The bytes of its scales, where they stand beside.
  public static func decodeRow(_ format: String, _ row: [UInt8], _ scales: [UInt8], dim: Int)
    -> [Float]
  {
    (0..<dim).map { decodeColumn(format, row, scales, dim, $0) }
  }

  private static func decodeColumn(
    _ format: String, _ row: [UInt8], _ scales: [UInt8], _ dim: Int, _ c: Int
  ) -> Float {
    func signed(_ byte: UInt8) -> Float { Float(Int8(bitPattern: byte)) }
    switch format {
    case "f32": return float(row, 4 * c)
    case "f16": return half(row, 2 * c)
    case "bf16": return Float(bitPattern: UInt32(word(row, 2 * c)) << 16)
    case "int8": return signed(row[c]) * float(scales, 0)
    case "int8_f16": return signed(row[c]) * half(scales, 0)
    case "fp8": return fp8(row[c])
    case "fp8_row": return fp8(row[c]) * float(scales, 0)
    case "fp8_block32": return fp8(row[c]) * powerOfTwo(scales[c / 32])
    case "fp8_block128": return fp8(row[c]) * powerOfTwo(scales[c / 128])
    case "fp8_block128_f32": return fp8(row[c]) * float(scales, c / 128 * 4)
    case "fbgemm8":
      let (scale, bias) = (float(row, dim), float(row, dim + 4))
      // Eight columns at a time, the rest by way of doubles.
      if c < dim / 8 * 8 { return bias.addingProduct(Float(row[c]), scale) }
      return Float(Double(row[c]) * Double(scale) + Double(bias))
    case "fbgemm4":
      let level = row[c / 2] >> (c % 2 * 4) & 15
      return half(row, dim / 2 + 2).addingProduct(Float(level), half(row, dim / 2))
    case "q8_0":
      let block = c / 32 * 34
      return signed(row[block + 2 + c % 32]) * half(row, block)
    case "q4_0":
      let block = c / 32 * 18
      let level = row[block + 2 + c % 16] >> (c % 32 / 16 * 4) & 15
      return (Float(level) - 8) * half(row, block)
    case "q4_k": return q4_k(Array(row[c / 256 * 144..<c / 256 * 144 + 144]), c % 256)
    case "q6_k": return q6_k(Array(row[c / 256 * 210..<c / 256 * 210 + 210]), c % 256)
    default: fatalError("no such format: \(format)")
    }
  }

  private static func q4_k(_ block: [UInt8], _ c: Int) -> Float {
    let part = c / 32
    let packed = Array(block[4..<16])
    var (scale, minimum): (UInt8, UInt8)
    if part < 4 {
      (scale, minimum) = (packed[part] & 63, packed[part + 4] & 63)
    } else {
      (scale, minimum) = (packed[part + 4] & 15, packed[part + 4] >> 4)
      scale |= (packed[part - 4] >> 6) << 4
      minimum |= (packed[part] >> 6) << 4
    }
    let level = block[16 + c / 64 * 32 + c % 32] >> (part % 2 * 4) & 15
    let (step, shift) = (half(block, 0) * Float(scale), half(block, 2) * Float(minimum))
    let product = step * Float(level)
    return product - shift
  }

  private static func q6_k(_ block: [UInt8], _ c: Int) -> Float {
    let (h, run, column) = (c / 128, c % 128 / 32, c % 32)
    let low = block[64 * h + run % 2 * 32 + column] >> (run / 2 * 4) & 15
    let high = block[128 + 32 * h + column] >> (2 * run) & 3
    let step = half(block, 208) * Float(Int8(bitPattern: block[192 + c / 16]))
    return step * (Float(low | high << 4) - 32)
  }

  private static func word(_ bytes: [UInt8], _ at: Int) -> UInt16 {
    UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8
  }

  private static func float(_ bytes: [UInt8], _ at: Int) -> Float {
    Float(bitPattern: UInt32(word(bytes, at)) | UInt32(word(bytes, at + 2)) << 16)
  }

  /// IEEE binary16, by its fields; a NaN keeps its bits and becomes quiet.
  private static func half(_ bytes: [UInt8], _ at: Int) -> Float {
    let bits = word(bytes, at)
    let fraction = UInt32(bits & 0x3FF), exponent = Int(bits >> 10 & 31)
    let sign: Float = bits >> 15 == 0 ? 1 : -1
    if exponent == 31 {
      let special: UInt32 = fraction == 0 ? 0x7F80_0000 : 0x7FC0_0000 | fraction << 13
      return Float(bitPattern: special | UInt32(bits >> 15) << 31)
    }
    if exponent == 0 { return sign * Float(fraction) * 0x1p-24 }
    return sign
      * Float(sign: .plus, exponent: exponent - 15, significand: 1 + Float(fraction) / 1_024)
  }

  /// fp8 e4m3, by its fields.
  private static func fp8(_ byte: UInt8) -> Float {
    let fraction = Float(byte & 7), exponent = Int(byte >> 3 & 15)
    let sign: Float = byte >> 7 == 0 ? 1 : -1
    if byte & 0x7F == 0x7F { return Float(bitPattern: 0x7FF0_0000 | UInt32(byte >> 7) << 31) }
    if exponent == 0 { return sign * fraction * 0x1p-9 }
    return sign * Float(sign: .plus, exponent: exponent - 7, significand: 1 + fraction / 8)
  }

  private static func powerOfTwo(_ exponent: UInt8) -> Float {
    exponent == 255 ? .nan : Float(sign: .plus, exponent: Int(exponent) - 127, significand: 1)
  }
}
