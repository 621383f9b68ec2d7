// 16-bit elements: every bit pattern, every tie, and the kernels' conversions against them.

import EmbedKernel
import TestSupport
import Testing

@Suite struct SixteenBitTests {
  /// What the bits of a 16-bit format stand for, by its definition in powers of two.
  private func value(_ bits: UInt16, exponentBits: Int) -> Double {
    let fractionBits = 15 - exponentBits
    let exponent = Int(bits >> UInt16(fractionBits)) & (1 << exponentBits - 1)
    let fraction = Double(bits & (1 << UInt16(fractionBits) - 1))
    let bias = 1 << (exponentBits - 1) - 1
    func power(_ n: Int) -> Double { Double(sign: .plus, exponent: n, significand: 1) }
    let magnitude =
      exponent == 0
      ? fraction * power(1 - bias - fractionBits)
      : (power(fractionBits) + fraction) * power(exponent - bias - fractionBits)
    return bits >> 15 == 1 ? -magnitude : magnitude
  }

  @Test func everyBitPatternWidensExactlyAndReturns() {
    check(BFloat16.self, exponentBits: 8)
    check(Half.self, exponentBits: 5)
  }

  private func check<Element: SixteenBitElement>(_ type: Element.Type, exponentBits: Int) {
    let infinity: UInt16 = (1 << UInt16(exponentBits) - 1) << UInt16(15 - exponentBits)
    var wrong = 0
    for bits in 0...UInt16.max {
      let element = Element(bitPattern: bits)
      let float = element.float
      let magnitude = bits & 0x7FFF
      if magnitude > infinity {
        // A NaN stays one with its sign and payload, and becomes quiet at the latest when rounded.
        let quiet: UInt16 = 1 << UInt16(14 - exponentBits)
        if !float.isNaN || Element(float).bitPattern != bits | quiet { wrong += 1 }
      } else if magnitude == infinity {
        if float != (bits == infinity ? .infinity : -.infinity) { wrong += 1 }
        if Element(float) != element { wrong += 1 }
      } else {
        if Double(float) != value(bits, exponentBits: exponentBits) { wrong += 1 }
        if float.sign != (bits >> 15 == 1 ? .minus : .plus) { wrong += 1 }
        if Element(float) != element { wrong += 1 }
      }
    }
    #expect(wrong == 0)
  }

  /// Between every two neighbours: just below the middle, the middle, just above.
  @Test func roundsToNearestAndTiesToEven() {
    checkTies(BFloat16.self, infinity: 0x7F80)
    checkTies(Half.self, infinity: 0x7C00)
    // The first value that overflows is half a step past the largest.
    #expect(Half(65_519.996).float == 65_504)
    #expect(Half(65_520).float == .infinity)
    #expect(Half(-1e30).float == -.infinity)
    #expect(BFloat16(.greatestFiniteMagnitude).float == .infinity)
    #expect(Half(0x1p-25).bitPattern == 0)
    #expect(Half(-0x1p-25).bitPattern == 0x8000)
    #expect(Half((0x1p-25 as Float).nextUp).bitPattern == 1)
  }

  private func checkTies<Element: SixteenBitElement>(_ type: Element.Type, infinity: UInt16) {
    var wrong = 0
    for bits in 0..<infinity - 1 {
      let (low, high) = (Element(bitPattern: bits), Element(bitPattern: bits + 1))
      // Exact: the formats have far fewer bits than Float, whose smallest step is below theirs.
      let middle = Float((Double(low.float) + Double(high.float)) / 2)
      let even = bits % 2 == 0 ? low : high
      for sign: UInt16 in [0, 0x8000] {
        let s: Float = sign == 0 ? 1 : -1
        func same(_ value: Float, _ expected: Element) -> Bool {
          Element(s * value).bitPattern == expected.bitPattern | sign
        }
        if !same(middle, even) || !same(middle.nextDown, low) || !same(middle.nextUp, high) {
          wrong += 1
        }
      }
    }
    #expect(wrong == 0)
  }

  /// Floats of every exponent, with the fractions where rounding turns.
  private static let floats: [Float] = {
    var random = SeededGenerator(seed: 6)
    var values: [Float] = []
    for exponent in 0...255 as ClosedRange<UInt32> {
      for fraction: UInt32 in [
        0, 1, 0xFFF, 0x1000, 0x1001, 0x2000, 0x3000, 0x7FFF, 0x8000, 0x8001, 0x1_8000, 0x40_0000,
        0x7F_E000, 0x7F_EFFF, 0x7F_F000, 0x7F_FFFF,
      ] {
        values.append(Float(bitPattern: exponent << 23 | fraction))
        values.append(Float(bitPattern: 1 << 31 | exponent << 23 | fraction))
      }
      for _ in 0..<16 { values.append(Float(bitPattern: random.next32())) }
    }
    return values
  }()

  static let ways: [Kernels] =
    ([.auto, .openBLAS, .simd]
    + InstructionSet.allCases.filter(\.isAvailable).map {
      Kernels(backend: .native, instructionSet: $0)
    }).flatMap { [$0.threads(1), $0.threads(3)] }

  @Test(arguments: ways)
  func kernelsConvertAsTheTypesDo(kernels: Kernels) throws {
    try check(kernels, BFloat16.self)
    try check(kernels, Half.self)
    let all = (0...UInt16.max).map { BFloat16(bitPattern: $0) }
    let halves = (0...UInt16.max).map { Half(bitPattern: $0) }
    var other = [Half](repeating: Half(0), count: all.count)
    var span = other.mutableSpan
    try kernels.convert(all.span, into: &span)
    #expect(zip(all, other).allSatisfy { Half($0.float) == $1 })
    var back = [BFloat16](repeating: BFloat16(0), count: all.count)
    var backSpan = back.mutableSpan
    try kernels.convert(halves.span, into: &backSpan)
    #expect(zip(halves, back).allSatisfy { BFloat16($0.float) == $1 })
  }

  private func check<Element: SixteenBitElement>(_ kernels: Kernels, _ type: Element.Type) throws {
    let floats = Self.floats
    var rounded = [Element](repeating: Element(0), count: floats.count)
    var span = rounded.mutableSpan
    try kernels.convert(floats.span, into: &span)
    for (float, element) in zip(floats, rounded) where Element(float) != element {
      Issue.record("\(kernels): \(float) (\(float.bitPattern)) gives \(element.bitPattern)")
      break
    }
    let all = (0...UInt16.max).map { Element(bitPattern: $0) }
    var widened = [Float](repeating: 0, count: all.count)
    var wide = widened.mutableSpan
    try kernels.convert(all.span, into: &wide)
    for (element, float) in zip(all, widened)
    where element.float.bitPattern != float.bitPattern {
      Issue.record("\(kernels): \(element.bitPattern) gives \(float)")
      break
    }
    // Every length, so that every tail is met; nothing past it is written.
    for count in 0...70 {
      var short = [Element](repeating: Element(7), count: count + 40)
      try unsafe short.withUnsafeMutableBufferPointer { buffer in
        var part = unsafe MutableSpan(
          _unsafeElements: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
        try kernels.convert(floats.span.extracting(first: count), into: &part)
      }
      #expect(zip(short[..<count], floats).allSatisfy { $0 == Element($1) })
      #expect(short[count...].allSatisfy { $0 == Element(7) })
    }
  }

  @Test func conversionsRefuseWhatDoesNotFit() throws {
    let floats: [Float] = [1, 2, 3]
    var two = [BFloat16](repeating: BFloat16(0), count: 2)
    var span = two.mutableSpan
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "output", expected: 3, shape: [3], actual: 2)
    ) { try Kernels.auto.convert(floats.span, into: &span) }
    #expect(throws: EmbedError.self) {
      try Kernels.auto.roundStochastically(floats.span, into: &span, seed: 1)
    }
    #expect(throws: EmbedError.self) {
      try Kernels.auto.roundStochastically(
        floats.span.extracting(first: 2), into: &span, seed: 1, first: -1)
    }
  }

  /// 65,536 roundings of one number a third of the way between neighbours: the share rounded up is
  /// binomial, so it lies within five standard deviations of a third.
  @Test func stochasticRoundingIsRightOnAverage() throws {
    let count = 1 << 16
    let (low, step) = (Float(1), Float(0x1p-7))
    for share in [0, 0.25, 1.0 / 3, 0.875] as [Double] {
      let value = Float(Double(low) + share * Double(step))
      let input = [Float](repeating: value, count: count)
      var output = [BFloat16](repeating: BFloat16(0), count: count)
      var span = output.mutableSpan
      try Kernels.auto.roundStochastically(input.span, into: &span, seed: 3, stream: 9)
      let up = output.count { $0.float == low + step }
      let down = output.count { $0.float == low }
      #expect(up + down == count)
      let spread = (share * (1 - share) * Double(count)).squareRoot()
      #expect(abs(Double(up) - share * Double(count)) <= 5 * spread)
    }
  }

  @Test func stochasticRoundingDependsOnSeedStreamAndPlaceAlone() throws {
    var random = SeededGenerator(seed: 2)
    let input = random.floats(100_003) + [.nan, .infinity, -.infinity, 0, -0.0]
    func round(
      _ range: Range<Int>, threads: Int, seed: UInt64 = 5, stream: UInt64 = 0
    ) throws -> [BFloat16] {
      var output = [BFloat16](repeating: BFloat16(0), count: range.count)
      var span = output.mutableSpan
      try Kernels.auto.threads(threads).roundStochastically(
        input.span.extracting(range), into: &span, seed: seed, stream: stream,
        first: range.lowerBound)
      return output
    }
    let whole = try round(0..<input.count, threads: 1)
    #expect(try round(0..<input.count, threads: 3) == whole)
    #expect(try round(13..<1_000, threads: 2) == Array(whole[13..<1_000]))
    #expect(try round(0..<input.count, threads: 1, seed: 6) != whole)
    #expect(try round(0..<input.count, threads: 1, stream: 1) != whole)
    let last = whole.suffix(5).map(\.float)
    #expect(last[0].isNaN && last[1] == .infinity && last[2] == -.infinity)
    #expect(last[3].sign == .plus && last[3] == 0 && last[4].sign == .minus && last[4] == 0)
    for (value, rounded) in zip(input, whole) where value.isFinite {
      // One of the two neighbours: less than a step of 2^-7 of the number away.
      #expect(abs(rounded.float - value) <= abs(value) * 0x1p-7)
    }
  }

  @Test func aTableRoundsAndWidens() throws {
    let table = try EmbeddingTable<Float>(rows: 30, dim: 7, .normal(sigma: 1), seed: 4)
    let small = try EmbeddingTable<BFloat16>(rounding: table)
    let wide = try small.widened()
    for row in 0..<30 {
      let (a, b, c) = (table[row], small[row], wide[row])
      #expect((0..<7).allSatisfy { b[$0] == BFloat16(a[$0]) && c[$0] == b[$0].float })
    }
    let address = unsafe UInt(bitPattern: small.unsafeBuffer.baseAddress)
    #expect(address % 64 == 0)
    let other = try EmbeddingTable<Float>(rows: 7, dim: 30)
    #expect(throws: EmbedError.self) { try small.round(other) }
    #expect(throws: EmbedError.self) { try EmbeddingTable<Half>(rows: 0, dim: 3) }
  }
}

extension SeededGenerator {
  fileprivate mutating func next32() -> UInt32 { UInt32(truncatingIfNeeded: next()) }
}
