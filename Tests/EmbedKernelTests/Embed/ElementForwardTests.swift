// The forward pass on 16-bit elements: every backend, instruction set, thread count and kind of
// traffic has the bits of plain loops that widen, add and round once.

import EmbedKernel
import ReferenceKernels
import TestSupport
import Testing

@Suite struct ElementForwardTests {
  struct Case: Sendable, CustomStringConvertible {
    let dim: Int
    let place: PositionIDs?
    let scale: Float
    let batch = 3
    let context = 5
    var description: String { "dim \(dim), scale \(scale)" }

    /// The position of each token.
    let places: [Int]
  }

  static let cases: [Case] = [
    1, 7, 16, 31, 33, 64, 100, 257,
  ].flatMap { dim -> [Case] in
    let tokens = 0..<15
    return [
      Case(
        dim: dim, place: .sequential(offset: 1), scale: 1, places: tokens.map { $0 % 5 + 1 }),
      Case(dim: dim, place: nil, scale: 0.3, places: tokens.map { $0 % 5 }),
      Case(
        dim: dim, place: .offsets([2, 0, 3]), scale: -1.7,
        places: tokens.map { [2, 0, 3][$0 / 5] + $0 % 5 }),
      Case(
        dim: dim, place: .explicit([4, 0, 7, 7, 2]), scale: 0,
        places: tokens.map { [4, 0, 7, 7, 2][$0 % 5] }),
    ]
  }

  @Test(arguments: cases)
  func everyPairOfTypesHasTheReferencesBits(_ case_: Case) throws {
    try check(case_, BFloat16.self, BFloat16.self)
    try check(case_, BFloat16.self, Float.self)
    try check(case_, BFloat16.self, Half.self)
    try check(case_, Half.self, Half.self)
    try check(case_, Half.self, Float.self)
    try check(case_, Half.self, BFloat16.self)
    try check(case_, Float.self, BFloat16.self)
    try check(case_, Float.self, Half.self)
    try check(case_, Float.self, Float.self)
  }

  private func check<Input: TestElement, Output: TestElement>(
    _ case_: Case, _ input: Input.Type, _ output: Output.Type
  ) throws {
    var random = SeededGenerator(seed: UInt64(case_.dim))
    let (vocabulary, maximum) = (11, 8)
    let shape = EmbeddingShape(
      vocabulary: vocabulary, batch: case_.batch, context: case_.context, dim: case_.dim)
    let ids = (0..<15).map { _ in Int.random(in: 0..<vocabulary, using: &random) }
    let tokens = random.floats(vocabulary * case_.dim).map { Input(rounding: $0) }
    let positions = random.floats(maximum * case_.dim).map { Input(rounding: $0) }
    let expected = Reference.embed(
      ids: ids, tokens: tokens.map(\.widened),
      positions: case_.place == nil ? nil : positions.map(\.widened), places: case_.places,
      dim: case_.dim, scale: case_.scale
    ).map { Output(rounding: $0) }
    for way in Way.all {
      let misalignment = Int.random(in: 0...17, using: &random)
      let actual: [Output] = try embed(
        way, ids, tokens, case_.place == nil ? nil : positions, shape,
        case_.place ?? .sequential(), EmbedOptions(scale: case_.scale), misalignment)
      expectSame(
        actual, expected,
        "\(Input.self) to \(Output.self), \(case_), \(way), misaligned by \(misalignment)")
    }
  }

  /// Ids and positions outside their tables, where the caller asked to tolerate them.
  @Test func policiesHoldForEveryType() throws {
    var random = SeededGenerator(seed: 1)
    let dim = 20
    let shape = EmbeddingShape(vocabulary: 4, batch: 1, context: 4, dim: dim)
    let tokens = random.floats(4 * dim).map { BFloat16($0) }
    let positions = random.floats(2 * dim).map { BFloat16($0) }
    for way in Way.all {
      let output: [Half] = try embed(
        way, [3, 9, -1, 0], tokens, positions, shape, .sequential(),
        EmbedOptions(scale: 2, unknownIDs: .zeroRow, positionOverflow: .clamp), 1)
      for (n, id) in [3, nil, nil, 0].enumerated() {
        for i in 0..<dim {
          let row = id.map { tokens[$0 * dim + i].float } ?? 0
          let sum = row * 2 + positions[min(n, 1) * dim + i].float
          #expect(output[n * dim + i] == Half(sum), "\(way)")
        }
      }
      #expect(
        throws: EmbedError.tokenOutOfRange(id: 9, batchRow: 0, position: 1, vocabulary: 4)
      ) {
        let _: [Half] = try embed(
          way, [3, 9, 0, 0], tokens, nil, shape, .sequential(), EmbedOptions(), 0)
      }
    }
  }

  /// Subnormal numbers, zeros and infinities among them, in every lane and mixed with others.
  @Test func everyBFloat16KeepsItsBits() throws {
    var random = SeededGenerator(seed: 3)
    let numbers = (0...UInt16.max).map { BFloat16(bitPattern: $0) }.filter { !$0.float.isNaN }
      .shuffled(using: &random)
    let dim = 1_016
    let rows = numbers.count / dim
    let shape = EmbeddingShape(vocabulary: rows, batch: 1, context: rows, dim: dim)
    let tokens = Array(numbers.prefix(rows * dim))
    for way in Way.all {
      let output: [BFloat16] = try embed(
        way, Array(0..<rows), tokens, nil, shape, .sequential(), EmbedOptions(), 0)
      #expect(output == tokens, "\(way)")
    }
  }

  @Test func specialValuesHaveTheReferencesBits() throws {
    // One operand at most is NaN: which payload survives two NaNs is the processor's choice.
    let special: [Float] = [
      .infinity, -.infinity, .nan, 0, -0.0, 0x1p-24, -0x1p-25, 65_504, 65_520, 1, -1, 3e38,
      0x1p-133,
    ]
    let (dim, shape) = (
      special.count, EmbeddingShape(vocabulary: 1, batch: 1, context: 3, dim: special.count)
    )
    let positions = [0, 1, -2] as [Float]
    func check<Element: TestElement>(_ type: Element.Type) throws {
      let tokens = special.map { Element(rounding: $0) }
      let rows = positions.flatMap { [Element](repeating: Element(rounding: $0), count: dim) }
      let expected = Reference.embed(
        ids: [0, 0, 0], tokens: tokens.map(\.widened), positions: rows.map(\.widened),
        places: [0, 1, 2], dim: dim
      ).map { Element(rounding: $0) }
      for way in Way.all {
        let actual: [Element] = try embed(
          way, [0, 0, 0], tokens, rows, shape, .sequential(), EmbedOptions(), 0)
        expectSame(actual, expected, "\(Element.self), \(way)")
      }
    }
    try check(BFloat16.self)
    try check(Half.self)
  }

  private func embed<Input: TestElement, Output: TestElement>(
    _ way: Way, _ ids: [Int], _ tokens: [Input], _ positions: [Input]?, _ shape: EmbeddingShape,
    _ place: PositionIDs, _ options: EmbedOptions, _ misalignment: Int
  ) throws -> [Output] {
    func copy<Element: TestElement>(_ values: [Element]) throws -> AlignedBuffer<Element> {
      let buffer = try AlignedBuffer<Element>(count: values.count + misalignment)
      for (i, value) in values.enumerated() { unsafe buffer.unsafeBuffer[misalignment + i] = value }
      return buffer
    }
    let count = shape.batch * shape.context * shape.dim
    let guardBand = 64
    let canary = Output(rounding: 1_234)
    let tokenBuffer = try copy(tokens)
    let positionBuffer = try copy(positions ?? [])
    let output = try copy([Output](repeating: canary, count: count + guardBand))
    let all = unsafe output.unsafeBuffer[misalignment...]
    try unsafe ids.withUnsafeBufferPointer { ids in
      try unsafe way.kernels.embed(
        TokenIDs(ids),
        Elements(UnsafeBufferPointer(rebasing: tokenBuffer.unsafeBuffer[misalignment...])),
        positions == nil
          ? nil
          : Elements(
            UnsafeBufferPointer(rebasing: positionBuffer.unsafeBuffer[misalignment...])), shape,
        place, options, Elements(UnsafeBufferPointer(rebasing: all.prefix(count))))
    }
    for i in 0..<guardBand where output[misalignment + count + i].widened != canary.widened {
      Issue.record("\(way) wrote past the output of shape \(shape)")
    }
    return unsafe Array(all.prefix(count))
  }

  private func expectSame<Element: TestElement>(
    _ actual: [Element], _ expected: [Element], _ what: @autoclosure () -> String
  ) {
    for i in 0..<expected.count where actual[i].bits != expected[i].bits {
      Issue.record("\(what()): element \(i) is \(actual[i].widened), not \(expected[i].widened)")
      return
    }
  }
}

/// What the tests need of an element type.
private protocol TestElement: TableElement {
  init(rounding value: Float)
  var widened: Float { get }
  var bits: UInt32 { get }
}

extension Float: TestElement {
  fileprivate init(rounding value: Float) { self = value }
  fileprivate var widened: Float { self }
  fileprivate var bits: UInt32 { bitPattern }
}

extension SixteenBitElement {
  fileprivate init(rounding value: Float) { self.init(value) }
  fileprivate var widened: Float { float }
  fileprivate var bits: UInt32 { UInt32(bitPattern) }
}

extension Half: TestElement {}
extension BFloat16: TestElement {}
