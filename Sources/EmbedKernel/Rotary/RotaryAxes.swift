// Rotary positions with several coordinates a token: time, height and width of images and video.
//
// Each pair turns by one of the coordinates; which one is all that differs between the forms.

/// Which coordinate turns which pair.
public enum RotaryAxes: Hashable, Sendable {
  /// Consecutive pairs by section: section k by coordinate k mod 3, as in Qwen2-VL with
  /// [16, 24, 24] (M-RoPE). Frequencies are those of one coordinate.
  case sections([Int])
  /// Coordinates 0, 1, 2 in turn, coordinate k for 3 * sections[k] pairs at most and 0 after that,
  /// as in Qwen3-VL with [24, 20, 20]. Frequencies are those of one coordinate.
  case interleavedSections([Int])
  /// Coordinates 1 and 2 in turn for the pairs of the first two sections, which are equal, and 0 for
  /// those of the third, as in Ernie 4.5 VL with [22, 22, 20]. Frequencies are those of one
  /// coordinate.
  case alternatingSections([Int])
  /// `count` coordinates in turn, one a pair, as in NeoMME with rows and columns. Frequencies are
  /// those of one coordinate.
  case alternating(count: Int)
  /// `count` coordinates with an equal number of consecutive pairs each, every one with its own
  /// full range of frequencies, as in Qwen2-VL's vision part. Pairs lie over the whole head.
  case axial(count: Int)
  /// The same, but the head is cut into `count` parts and pairs lie within a part, as in Gemma 4's
  /// vision part: H-H-W-W.
  case axialBlocks(count: Int)

  /// The number of coordinates of a token.
  public var count: Int {
    switch self {
    case .sections(let sections), .interleavedSections(let sections): min(3, sections.count)
    case .alternatingSections: 3
    case .axial(let count), .axialBlocks(let count), .alternating(let count): count
    }
  }

  /// The parts of a head within which pairs lie.
  var blocks: Int {
    if case .axialBlocks(let count) = self { count } else { 1 }
  }

  /// Whether each coordinate has frequencies of its own.
  var isAxial: Bool {
    switch self {
    case .axial, .axialBlocks: true
    case .sections, .interleavedSections, .alternatingSections, .alternating: false
    }
  }

  /// The coordinate of each of `pairs` pairs.
  ///
  /// - Throws: `invalidSize` where the sections do not add up or the pairs do not divide.
  package func coordinates(pairs: Int) throws(EmbedError) -> [UInt8] {
    switch self {
    case .sections(let sections):
      try check(sections, pairs: pairs)
      return sections.enumerated().flatMap { Array(repeating: UInt8($0 % 3), count: $1) }
    case .interleavedSections(let sections):
      // A section is where its coordinate ends; together they need not be the number of pairs.
      try check(sections, pairs: pairs, areAll: false)
      guard sections.count <= 3 else {
        throw .invalidSize(
          argument: "number of sections", value: sections.count,
          expected: "at most 3 interleaved ones")
      }
      return (0..<pairs).map { pair in
        let axis = pair % 3
        let isTaken = axis > 0 && axis < sections.count && pair / 3 < sections[axis]
        return isTaken ? UInt8(axis) : 0
      }
    case .alternatingSections(let sections):
      try check(sections, pairs: pairs)
      guard sections.count == 3, sections[0] == sections[1] else {
        throw .invalidSize(
          argument: "second section", value: sections.count > 1 ? sections[1] : 0,
          expected: "the first one's size, with a third")
      }
      return (0..<pairs).map { $0 < 2 * sections[0] ? UInt8(1 + $0 % 2) : 0 }
    case .alternating(let count):
      guard count > 0, count <= 255 else {
        throw .invalidSize(argument: "number of axes", value: count, expected: "1...255")
      }
      return (0..<pairs).map { UInt8($0 % count) }
    case .axial(let count), .axialBlocks(let count):
      guard count > 0, count <= 255, pairs.isMultiple(of: count) else {
        throw .invalidSize(
          argument: "number of axes", value: count, expected: "a divisor of the \(pairs) pairs")
      }
      return (0..<pairs).map { UInt8($0 / (pairs / count)) }
    }
  }

  private func check(
    _ sections: [Int], pairs: Int, areAll: Bool = true
  ) throws(EmbedError) {
    var sum = 0
    for section in sections {
      guard section >= 0, section <= pairs || !areAll else {
        throw .invalidSize(
          argument: "section", value: section, expected: "0...\(pairs), the number of pairs")
      }
      sum = sum.addingReportingOverflow(section).partialValue
    }
    guard sum == pairs || !areAll else {
      throw .invalidSize(
        argument: "sum of the sections", value: sum, expected: "the number of pairs, \(pairs)")
    }
  }
}
