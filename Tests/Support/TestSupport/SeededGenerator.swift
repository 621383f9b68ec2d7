// Random test data: a seed gives the same cases everywhere, and a failing case prints its seed.

/// A seeded generator for test data: SplitMix64 (Steele, Lea and Flood, 2014).
package struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  package init(seed: UInt64) { state = seed }
  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

extension SeededGenerator {
  /// `count` floats of mixed magnitude, some of them zeros of either sign.
  package mutating func floats(_ count: Int) -> [Float] {
    (0..<count).map { _ in
      let exponent = Int.random(in: -8...8, using: &self)
      if exponent == 8 { return Bool.random(using: &self) ? 0 : -0.0 }
      return Float.random(in: -1...1, using: &self)
        * Float(sign: .plus, exponent: exponent, significand: 1)
    }
  }

  /// Inserts, removes or replaces as many bytes as `edits` allows; half the time within the first
  /// `header`. Half of the new bytes are of `telling`, those that steer the reader under test.
  package mutating func mutate(
    _ bytes: inout [UInt8], edits: ClosedRange<Int>, telling: [UInt8], header: Int = .max
  ) {
    for _ in 0..<Int.random(in: edits, using: &self) {
      let end = Bool.random(using: &self) ? bytes.count : min(bytes.count, header)
      let place = Int.random(in: 0..<end, using: &self)
      let byte =
        Bool.random(using: &self)
        ? UInt8.random(in: 0...255, using: &self)
        : telling[Int.random(in: 0..<telling.count, using: &self)]
      switch Int.random(in: 0..<4, using: &self) {
      case 0: bytes.insert(byte, at: place)
      case 1 where bytes.count > 1: bytes.remove(at: place)
      default: bytes[place] = byte
      }
    }
  }
}
