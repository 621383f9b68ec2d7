// What quantising loses, by bounds that follow from each format's rule; what it refuses; and that the bytes
// don't depend on threads.

import EmbedKernel
import EmbedRows
import TestSupport
import Testing

@Suite struct QuantizingTests {
  /// Rows of different sizes, constant ones, and ones with an outlier.
  static func rows(_ dim: Int, seed: UInt64) -> [[Float]] {
    var random = SeededGenerator(seed: seed)
    func uniform(_ size: Float) -> [Float] {
      (0..<dim).map { _ in Float.random(in: -size...size, using: &random) }
    }
    var outlier = uniform(0.01)
    outlier[dim / 2] = -40
    return [
      uniform(1), uniform(0.02), uniform(300), uniform(1e-3), outlier,
      [Float](repeating: 0, count: dim), [Float](repeating: 5.25, count: dim),
      [Float](repeating: -0.3, count: dim), uniform(2).map(\.magnitude),
      uniform(2).map { -$0.magnitude },
    ]
  }

  @Test(arguments: RowFormat.allCases)
  func errorsAreWithinTheirBounds(_ format: RowFormat) throws {
    for dim in format.dims {
      let rows = Self.rows(dim, seed: UInt64(dim))
      let table = try RowTable(
        quantizing: rows.flatMap { $0 }, rows: rows.count, dim: dim, as: format)
      let decoded = try table.decoded()
      for (r, row) in rows.enumerated() {
        for c in 0..<dim {
          let width = format.scaleWidth(dim)
          let part = Array(row[c / width * width..<min(dim, (c / width + 1) * width)])
          let bound = format.bound(row[c], part)
          let error = (Double(decoded[r, c]) - Double(row[c])).magnitude
          guard error > bound else { continue }
          Issue.record(
            "\(format), dim \(dim), row \(r), column \(c): \(row[c]) became \(decoded[r, c]), \(error) off, bound \(bound)"
          )
          return
        }
      }
    }
  }

  @Test(arguments: RowFormat.allCases)
  func threadsDoNotChangeTheBytes(_ format: RowFormat) throws {
    let dim = 256
    let elements = (0..<8).flatMap { Self.rows(dim, seed: $0).flatMap { $0 } }
    let rows = elements.count / dim
    let one = try RowTable(
      quantizing: elements, rows: rows, dim: dim, as: format, using: .auto.threads(1))
    let many = try RowTable(
      quantizing: elements, rows: rows, dim: dim, as: format, using: .auto.threads(5))
    expectSame(many.rowBytes.array, one.rowBytes.array, "\(format)")
    expectSame(many.scaleBytes.array, one.scaleBytes.array, "\(format), scales")
    // A table's rows are quantised as floats are.
    let table = try EmbeddingTable(rows: rows, dim: dim, copying: elements.span)
    let same = try RowTable(quantizing: table, as: format)
    expectSame(same.rowBytes.array, one.rowBytes.array, "\(format), of a table")
  }

  /// Scaled formats refuse what isn't finite, and name the first such number.
  @Test(arguments: RowFormat.quantised)
  func numbersThatDoNotFitAreRefused(_ format: RowFormat) throws {
    let dim = 256
    for bad in [Float.infinity, -.infinity, .nan] where !(format == .fp8 && bad.isNaN) {
      var elements = [Float](repeating: 1, count: 40 * dim)
      elements[3 * dim + 17] = bad
      elements[30 * dim] = bad
      for threads in [1, 3] {
        let error = #expect(throws: EmbedError.self) {
          try RowTable(
            quantizing: elements, rows: 40, dim: dim, as: format, using: .auto.threads(threads))
        }
        guard case .invalidValue(let argument, _, _)? = error else {
          Issue.record("\(format): \(String(describing: error))")
          continue
        }
        #expect(argument.contains("row 3, column 17"), "\(format): \(argument)")
      }
    }
  }

  /// The first number past what each format holds, where it is alone among zeros.
  static let past: [(format: RowFormat, value: Float)] = [
    (.fp8, 464.01), (.float16, 65_520), (.int8Half, 8_321_040), (.q8_0, 8_321_040),
    (.q4_0, 524_160), (.q4_K, 66_044_160), (.q6_K, 2.8e8), (.q6_K, 3e38), (.fbgemm4, 982_800),
    (.fbgemm4, -65_520),
  ]

  @Test(arguments: past)
  func numbersPastTheRangeAreRefused(_ format: RowFormat, _ value: Float) throws {
    var elements = [Float](repeating: 0, count: 512)
    elements[300] = value
    let error = #expect(throws: EmbedError.self) {
      try RowTable(quantizing: elements, rows: 2, dim: 256, as: format)
    }
    guard case .invalidValue(let argument, let found, _)? = error else {
      Issue.record("\(format): \(String(describing: error))")
      return
    }
    #expect(argument.contains("row 1, column 44"), "\(argument)")
    #expect(found == Double(value))
    // What is just below is held.
    elements[300] = value * (format.block == 256 ? 0.8 : 0.99)
    if value < 3e38 { _ = try RowTable(quantizing: elements, rows: 2, dim: 256, as: format) }
  }

  @Test func aRangeThatOverflowsIsRefused() throws {
    let elements: [Float] = [3e38, 0, 0, -3e38]
    #expect(throws: EmbedError.self) {
      try RowTable(quantizing: elements, rows: 1, dim: 4, as: .fbgemm8)
    }
    let block = [Float](repeating: 3e38, count: 128) + [Float](repeating: -3e38, count: 128)
    #expect(throws: EmbedError.self) {
      try RowTable(quantizing: block, rows: 1, dim: 256, as: .q4_K)
    }
  }

  /// The sign of a bias that is zero: FBGEMM looks for the smallest by eight lanes and takes the last zero of
  /// the first lane that has one, and what is after the last whole eight where no lane has any.
  static let zeroBiases: [(row: [Float], bias: UInt32)] = {
    let ones = [Float](repeating: 1, count: 6)
    return [
      ([0, -0.0] + ones + [-0.0, 0] + ones, 0x8000_0000),
      ([-0.0, -0.0] + ones + [0, -0.0] + ones, 0),
      (ones + [1, -0.0, 0, 0, 0, 0], 0x8000_0000), (ones + [1, 1, 0, -0.0, -0.0, 0], 0),
      ([-0.0, 0, 0, 0], 0x8000_0000), ([0, -0.0, -0.0, -0.0], 0),
      ([Float](repeating: -0.0, count: 8) + [Float](repeating: 0, count: 8), 0),
    ]
  }()

  @Test(arguments: zeroBiases)
  func signsOfZeroBiasesAreFBGEMMs(_ row: [Float], _ bias: UInt32) throws {
    let eight = try RowTable(quantizing: row, rows: 1, dim: row.count, as: .fbgemm8)
    let last = eight.rowBytes.array.suffix(4).reversed().reduce(0 as UInt32) {
      $0 << 8 | UInt32($1)
    }
    #expect(last == bias)
    // Of zeros alone the scale is 0, without a sign.
    let scale = eight.rowBytes.array.dropLast(4).suffix(4)
    #expect(scale.allSatisfy { $0 == 0 } == row.allSatisfy { $0 == 0 })
    let four = try RowTable(quantizing: row, rows: 1, dim: row.count, as: .fbgemm4)
    #expect(four.rowBytes.array.suffix(2) == [0, UInt8(bias >> 24)])
  }

  /// NaN has a place in fp8 and in 16-bit elements; infinities in the latter.
  @Test func whatAFormatHoldsIsKept() throws {
    let special: [Float] = [.nan, 1, 464, -448]
    let table = try RowTable(quantizing: special, rows: 1, dim: 4, as: .fp8)
    let fp8 = try table.decoded()
    #expect(fp8[0, 0].isNaN)
    #expect(fp8[0, 2] == 448)
    for format in [RowFormat.float32, .float16, .bfloat16] {
      let rows = try RowTable(
        quantizing: [Float.infinity, .nan, -.infinity], rows: 1, dim: 3, as: format)
      let decoded = try rows.decoded()
      #expect(decoded[0, 0] == .infinity && decoded[0, 1].isNaN && decoded[0, 2] == -.infinity)
    }
  }

  @Test(arguments: RowFormat.allCases)
  func sizesAreCheckedFirst(_ format: RowFormat) throws {
    #expect(throws: EmbedError.self) { try format.rowBytes(dim: 0) }
    #expect(throws: EmbedError.self) { try format.rowBytes(dim: -1) }
    #expect(throws: EmbedError.self) { try format.rowBytes(dim: .max) }
    #expect(throws: EmbedError.self) {
      try RowTable(quantizing: [Float](), rows: 0, dim: 256, as: format)
    }
    #expect(throws: EmbedError.self) {
      try RowTable(quantizing: [Float](repeating: 0, count: 255), rows: 1, dim: 256, as: format)
    }
    if format.block > 1 {
      let error = #expect(throws: EmbedError.self) {
        try RowTable(quantizing: [Float](repeating: 0, count: 257), rows: 1, dim: 257, as: format)
      }
      #expect("\(error as Any)".contains("a multiple of \(format.block)"))
    }
  }
}

extension RowFormat {
  /// The columns that share a scale.
  fileprivate func scaleWidth(_ dim: Int) -> Int {
    switch self {
    case .fp8Block32, .q8_0, .q4_0: 32
    case .fp8Block128, .fp8Block128Float: 128
    case .q4_K, .q6_K: 256
    default: dim
    }
  }

  /// How far a decoded number may be from `x`, given the numbers that share its scale.
  fileprivate func bound(_ x: Float, _ part: [Float]) -> Double {
    let x = Double(x.magnitude)
    let largest = Double(part.map(\.magnitude).max() ?? 0)
    let range = Double((part.max() ?? 0) - (part.min() ?? 0))
    let smallest = Double((part.min() ?? 0).magnitude)
    let rounding = 0x1p-22 * largest + 0x1p-149
    // A scale of half precision: a relative error, or an absolute one where it is subnormal.
    func half(_ scale: Double) -> Double { max(0x1p-11 * scale, 0x1p-25) }
    switch self {
    case .float32: return 0
    case .float16: return max(0x1p-11 * x, 0x1p-25)
    case .bfloat16: return 0x1p-8 * x
    case .int8: return largest / 254 + rounding
    case .int8Half:
      let scale = largest / 127 + half(largest / 127)
      // Small scales round to too little, which cuts the largest off.
      return scale / 2 + 127 * half(largest / 127) + rounding
    case .fp8: return max(0x1p-4 * x, 0x1p-10)
    case .fp8Row: return max(0x1p-4 * x, 0x1p-10 * largest / 448) + rounding
    case .fp8Block32:
      // Scales are largest / 256 at most; numbers past 448 of them are cut off, 512 being the end.
      return max(0x1p-4 * x, 0x1p-10 * largest / 256, x / 8) + rounding
    case .fp8Block128: return max(0x1p-4 * x, 0x1p-10 * max(largest, 1e-4) / 224) + rounding
    case .fp8Block128Float: return max(0x1p-4 * x, 0x1p-10 * max(largest, 1e-4) / 448) + rounding
    case .fbgemm8: return range / 510 + 1e-8 + rounding
    case .fbgemm4:
      let bias = half(smallest)
      let scale = (range + bias) / 15
      return scale / 2 + bias + 15 * half(scale) + scale * 0x1p-10 + rounding
    case .q8_0: return largest / 254 + 127 * half(largest / 127) + rounding
    case .q4_0: return largest / 8 + 8 * half(largest / 8) + rounding
    case .q4_K:
      // A part's step is at most its range / 14, rounded to a 63rd of the largest; the minimum likewise.
      let step = max(range, largest) / 14
      return step / 2 + 15 * step / 126 + max(smallest, step) / 126 + step
    case .q6_K: return largest / 62 + largest / 32 / 2 + 4096 * half(largest / 4096) + rounding
    }
  }
}
