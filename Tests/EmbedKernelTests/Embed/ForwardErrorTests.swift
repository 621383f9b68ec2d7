// Bad input: the error names the fact, and the output keeps every byte it had.

import EmbedKernel
import Testing

@Suite struct ForwardErrorTests {
  static let shape = EmbeddingShape(vocabulary: 10, batch: 2, context: 3, dim: 4)

  struct Fault: Sendable, CustomStringConvertible {
    var description: String
    var shape = ForwardErrorTests.shape
    var ids: [Int64] = [0, 1, 2, 3, 4, 5]
    var tokens = 40
    var positions: Int? = 12
    var output = 24
    var place = PositionIDs.sequential()
    var options = EmbedOptions()
    var kernels = Kernels.auto
    let error: EmbedError
    let message: String
  }

  static let faults: [Fault] = [
    Fault(
      description: "id past the vocabulary", ids: [0, 1, 2, 3, 10, 5],
      error: .tokenOutOfRange(id: 10, batchRow: 1, position: 1, vocabulary: 10),
      message: "token id 10 at batch row 1, position 1 is outside the vocabulary of 10 "
        + "(valid ids: 0...9)"),
    Fault(
      description: "negative id", ids: [0, 1, -7, 3, 4, 5],
      error: .tokenOutOfRange(id: -7, batchRow: 0, position: 2, vocabulary: 10),
      message: "token id -7 at batch row 0, position 2"),
    Fault(
      description: "id that 32 bits would fold into the vocabulary",
      ids: [0, 1, 2, 3, 4, 1 << 32],
      error: .tokenOutOfRange(id: 1 << 32, batchRow: 1, position: 2, vocabulary: 10),
      message: "token id 4294967296"),
    Fault(
      description: "too few ids", ids: [0, 1],
      error: .wrongElementCount(argument: "ids", expected: 6, shape: [2, 3], actual: 2),
      message: "ids has 2 elements, but shape [2, 3] needs 6"),
    Fault(
      description: "table of another size", tokens: 39,
      error: .wrongElementCount(argument: "tokens", expected: 40, shape: [10, 4], actual: 39),
      message: "tokens has 39 elements, but shape [10, 4] needs 40"),
    Fault(
      description: "output of another size", output: 25,
      error: .wrongElementCount(argument: "output", expected: 24, shape: [2, 3, 4], actual: 25),
      message: "output has 25 elements"),
    Fault(
      description: "position table with a part of a row", positions: 13,
      error: .wrongElementCount(argument: "positions", expected: 16, shape: [4, 4], actual: 13),
      message: "positions has 13 elements"),
    Fault(
      description: "context over the maximum", positions: 8,
      error: .contextTooLong(offset: 0, context: 3, maximum: 2),
      message: "context 3 at position offset 0 needs 0 + 3 positions, but the maximum is 2"),
    Fault(
      description: "offset that runs past the maximum", place: .sequential(offset: 1),
      error: .contextTooLong(offset: 1, context: 3, maximum: 3), message: "offset 1"),
    Fault(
      description: "offset whose sum overflows", place: .sequential(offset: .max),
      error: .contextTooLong(offset: .max, context: 3, maximum: 3), message: "\(Int.max)"),
    Fault(
      description: "negative offset", place: .sequential(offset: -1),
      error: .invalidSize(argument: "position offset", value: -1, expected: "0 or more"),
      message: "position offset is -1"),
    Fault(
      description: "one sequence's offset past the maximum", place: .offsets([0, 2]),
      error: .positionOutOfRange(position: 3, batchRow: 1, index: 1, maximum: 3),
      message: "position 3 of the token at batch row 1, position 1"),
    Fault(
      description: "negative offset of a sequence", place: .offsets([0, -2]),
      error: .positionOutOfRange(position: -2, batchRow: 1, index: 0, maximum: 3),
      message: "position -2"),
    Fault(
      description: "wrong number of offsets", place: .offsets([0]),
      error: .wrongElementCount(argument: "position offsets", expected: 2, shape: [2], actual: 1),
      message: "position offsets has 1 elements"),
    Fault(
      description: "position id past the table", place: .explicit([0, 1, 2, 0, 3, 1]),
      error: .positionOutOfRange(position: 3, batchRow: 1, index: 1, maximum: 3),
      message: "outside the position table of 3 rows"),
    Fault(
      description: "negative position id", place: .explicit([0, 1, -1]),
      error: .positionOutOfRange(position: -1, batchRow: 0, index: 2, maximum: 3),
      message: "position -1"),
    Fault(
      description: "wrong number of position ids", place: .explicit([0, 1, 2, 0]),
      error: .wrongElementCount(argument: "position ids", expected: 6, shape: [2, 3], actual: 4),
      message: "position ids has 4 elements"),
    Fault(
      description: "document past the maximum", place: .packed(cumulativeLengths: [0, 2, 6]),
      error: .documentTooLong(document: 1, length: 4, maximum: 3),
      message: "document 1 of the packed batch has 4 tokens"),
    Fault(
      description: "cumulative lengths that fall", place: .packed(cumulativeLengths: [0, 4, 3, 6]),
      error: .invalidCumulativeLength(
        index: 2, value: 3, expected: "at least the one before it, 4"),
      message: "cumulative length 3 at index 2"),
    Fault(
      description: "cumulative lengths that start late", place: .packed(cumulativeLengths: [1, 6]),
      error: .invalidCumulativeLength(index: 0, value: 1, expected: "0"), message: "expected 0"),
    Fault(
      description: "cumulative lengths that end early", place: .packed(cumulativeLengths: [0, 5]),
      error: .invalidCumulativeLength(index: 1, value: 5, expected: "batch * context = 6"),
      message: "batch * context = 6"),
    Fault(
      description: "no cumulative lengths", place: .packed(cumulativeLengths: []),
      error: .wrongElementCount(
        argument: "cumulative lengths", expected: 1, shape: [1], actual: 0),
      message: "cumulative lengths has 0 elements"),
    Fault(
      description: "mask of another size", place: .mask([1, 1]),
      error: .wrongElementCount(argument: "mask", expected: 6, shape: [2, 3], actual: 2),
      message: "mask has 2 elements"),
    Fault(
      description: "more real tokens than positions", positions: 8,
      place: .mask([0, 1, 1, 1, 1, 1]),
      error: .positionOutOfRange(position: 2, batchRow: 1, index: 2, maximum: 2),
      message: "position 2"),
    Fault(
      description: "scale that is no number", options: EmbedOptions(scale: .infinity),
      error: .invalidValue(argument: "scale", value: .infinity, expected: "a finite number"),
      message: "scale is inf"),
    Fault(
      description: "no threads", kernels: Kernels.auto.threads(0),
      error: .invalidSize(argument: "threads", value: 0, expected: "1 or more"),
      message: "threads is 0"),
    sized("dim", \.dim, 0), sized("dim", \.dim, -1), sized("vocabulary", \.vocabulary, 0),
    sized("batch", \.batch, -1, "0 or more"), sized("context", \.context, -2, "0 or more"),
    overflowing("ids", batch: .max, context: 2, dim: 4, [.max, 2, 1]),
    overflowing(
      "output", batch: 1 << 31, context: 1 << 20, dim: 1 << 20, [1 << 31, 1 << 20, 1 << 20]),
  ]

  private static func sized(
    _ argument: String, _ size: WritableKeyPath<EmbeddingShape, Int>, _ value: Int,
    _ expected: String = "1 or more"
  ) -> Fault {
    var shape = shape
    shape[keyPath: size] = value
    return Fault(
      description: "\(argument) \(value)", shape: shape,
      error: .invalidSize(argument: argument, value: value, expected: expected),
      message: "\(argument) is \(value): expected \(expected)")
  }

  private static func overflowing(
    _ argument: String, batch: Int, context: Int, dim: Int, _ factors: [Int]
  ) -> Fault {
    Fault(
      description: "\(argument) too large to address",
      shape: EmbeddingShape(vocabulary: 10, batch: batch, context: context, dim: dim),
      error: .sizeOverflow(argument: argument, factors: factors),
      message: "\(argument) of shape \(factors) is too large to address")
  }

  @Test(arguments: faults)
  func faultIsNamedAndNothingIsWritten(fault: Fault) throws {
    let tokens = [Float](repeating: 1, count: fault.tokens)
    let positions = fault.positions.map { [Float](repeating: 2, count: $0) }
    for backend in Backend.allCases.map(Optional.init) + [nil] {
      var kernels = fault.kernels
      kernels.backend = backend
      var output = [Float](repeating: -1, count: fault.output)
      let untouched = output
      let thrown = #expect(throws: EmbedError.self) {
        var span = output.mutableSpan
        if let positions {
          try kernels.embed(
            ids: fault.ids.span, tokens: tokens.span, positions: positions.span,
            shape: fault.shape, at: fault.place, options: fault.options, into: &span)
        }
      }
      #expect(thrown == fault.error)
      #expect(thrown.map(String.init(describing:))?.contains(fault.message) == true)
      #expect(output == untouched)
    }
  }

  @Test func overlapIsNamedForEachArgument() throws {
    let shape = EmbeddingShape(vocabulary: 2, batch: 1, context: 2, dim: 2)
    let memory = try AlignedBuffer<Float>(count: 64)
    let floats = unsafe memory.unsafeBuffer
    func slice(_ start: Int, _ count: Int) -> UnsafeMutableBufferPointer<Float> {
      unsafe UnsafeMutableBufferPointer(rebasing: floats[start..<start + count])
    }
    // tokens at 0..<4, positions at 8..<12, ids at 16..<18 as 32-bit words.
    for (argument, start) in [("tokens", 3), ("positions", 5), ("ids", 14)] {
      let error = #expect(throws: EmbedError.self) {
        try unsafe slice(16, 2).withMemoryRebound(to: Int32.self) { ids in
          var output = unsafe slice(start, 4)
          try unsafe Kernels.auto.embed(
            ids: UnsafeBufferPointer(ids), tokens: UnsafeBufferPointer(slice(0, 4)),
            positions: UnsafeBufferPointer(slice(8, 4)), shape: shape, into: &output)
        }
      }
      #expect(error == .overlappingMemory(argument: argument))
    }
    // Neighbours that touch do not overlap.
    try unsafe slice(16, 2).withMemoryRebound(to: Int32.self) { ids in
      var output = unsafe slice(4, 4)
      try unsafe Kernels.auto.embed(
        ids: UnsafeBufferPointer(ids), tokens: UnsafeBufferPointer(slice(0, 4)),
        positions: UnsafeBufferPointer(slice(8, 4)), shape: shape, into: &output)
    }
  }

  @Test(arguments: [(0, 3), (2, 0), (0, 0)])
  func emptyBatchesDoNothing(batch: Int, context: Int) throws {
    var shape = Self.shape
    (shape.batch, shape.context) = (batch, context)
    let places: [PositionIDs] = [
      .sequential(), .packed(cumulativeLengths: [0]), .mask([]), .explicit([]),
      .offsets([Int32](repeating: 0, count: batch)),
    ]
    for place in places {
      for backend in Backend.allCases {
        let output = try embed(
          Way(kernels: Kernels(backend: backend)), ids: [] as [Int32],
          tokens: [Float](repeating: 1, count: 40), positions: [Float](repeating: 1, count: 12),
          shape: shape, at: place)
        #expect(output.isEmpty)
      }
    }
  }

  @Test func policiesTolerateWhatTheyName() throws {
    let tokens: [Float] = [1, 2, 3, 4, 5, 6]  // 3 tokens of dim 2
    let positions: [Float] = [10, 20, 30, 40]  // 2 positions
    let shape = EmbeddingShape(vocabulary: 3, batch: 1, context: 4, dim: 2)
    func run(_ unknownIDs: UnknownIDs, scale: Float = 1) throws -> [Float] {
      var output = [Float](repeating: .nan, count: 8)
      var span = output.mutableSpan
      try Kernels.auto.embed(
        ids: ([-1, 1, 99, 2] as [Int32]).span, tokens: tokens.span, positions: positions.span,
        shape: shape,
        options: EmbedOptions(scale: scale, unknownIDs: unknownIDs, positionOverflow: .clamp),
        into: &span)
      return output
    }
    #expect(try run(.clamp) == [11, 22, 33, 44, 35, 46, 35, 46])
    #expect(try run(.zeroRow) == [10, 20, 33, 44, 30, 40, 35, 46])
    #expect(try run(.clamp, scale: 2) == [12, 24, 36, 48, 40, 52, 40, 52])
    #expect(throws: EmbedError.tokenOutOfRange(id: -1, batchRow: 0, position: 0, vocabulary: 3)) {
      try run(.error)
    }
  }

  @Test func anUnavailableInstructionSetIsRefused() throws {
    for set in InstructionSet.allCases where !set.isAvailable {
      var output: [Float] = [7]
      #expect(throws: EmbedError.unavailableInstructionSet(set)) {
        var span = output.mutableSpan
        try Kernels(instructionSet: set).embed(
          ids: ([0] as [Int32]).span, tokens: ([1] as [Float]).span, positions: nil,
          shape: EmbeddingShape(vocabulary: 1, batch: 1, context: 1, dim: 1), into: &span)
      }
      #expect(output == [7])
    }
  }
}
