// The forward pass from rows of every format: every backend, instruction set, number of threads and kind of
// traffic has the bits of plain loops that decode, scale, add and round once.

import EmbedKernel
import EmbedRows
import ReferenceKernels
import TestSupport
import Testing

@Suite struct EmbedRowsTests {
  /// Where tokens stand, and the position of each.
  static let places: [(place: PositionIDs, positions: [Int])] = {
    let tokens = 0..<15
    return [
      (.sequential(offset: 1), tokens.map { $0 % 5 + 1 }),
      (.offsets([2, 0, 3]), tokens.map { [2, 0, 3][$0 / 5] + $0 % 5 }),
      (.explicit([4, 0, 7, 7, 2]), tokens.map { [4, 0, 7, 7, 2][$0 % 5] }),
      (
        .packed(cumulativeLengths: [0, 3, 3, 10, 15]),
        [0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4]
      ),
      (
        .mask([0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1]),
        [0, 0, 1, 2, 3, 0, 1, 2, 3, 4, 0, 0, 0, 0, 1]
      ),
    ]
  }()

  @Test(arguments: RowFormat.allCases.inDebug(every: 3))
  func everyWayHasTheReferencesBits(_ format: RowFormat) throws {
    var random = SeededGenerator(seed: 21)
    for (number, dim) in format.dims.enumerated() {
      let table = try TestRows(format, rows: 11, dim: dim, &random)
      let (place, positions) = Self.places[number % Self.places.count]
      // Each output type, with each type of positions in turn and none.
      try check(table, place, positions, Float.self, Float.self, scale: 1, &random)
      try check(table, place, positions, Half.self, BFloat16.self, scale: 0.3, &random)
      try check(table, place, positions, BFloat16.self, Half.self, scale: -1.7, &random)
      try check(table, nil, positions, Float.self, Float.self, scale: 2.5, &random)
    }
  }

  /// All kinds of places, in a narrow table of each kind of block.
  @Test(arguments: [RowFormat.int8, .fbgemm4, .q4_0, .q6_K])
  func allPlacesHaveTheReferencesBits(_ format: RowFormat) throws {
    var random = SeededGenerator(seed: 22)
    let table = try TestRows(format, rows: 11, dim: format.dims[0], &random)
    for (place, positions) in Self.places {
      try check(table, place, positions, Float.self, Float.self, scale: 1, &random)
      try check(table, place, positions, BFloat16.self, BFloat16.self, scale: 1, &random)
    }
  }

  private func check<Position: TestElement, Output: TestElement>(
    _ table: TestRows, _ place: PositionIDs?, _ places: [Int], _ position: Position.Type,
    _ output: Output.Type, scale: Float, _ random: inout SeededGenerator
  ) throws {
    let dim = table.table.dim
    let ids = (0..<15).map { _ in Int32.random(in: 0..<11, using: &random) }
    let positions = random.floats(8 * dim).map { Position(rounding: $0) }
    let expected = Reference.embed(
      ids: ids.map(Int.init), tokens: table.elements,
      positions: place == nil ? nil : positions.map(\.widened), places: places, dim: dim,
      scale: scale
    ).map { Output(rounding: $0).widened }
    let shape = EmbeddingShape(vocabulary: 11, batch: 3, context: 5, dim: dim)
    for kernels in Kernels.everyWay {
      // Rows of the output at any place, and what follows it untouched.
      let misalignment = Int.random(in: 0...17, using: &random)
      let canary = Output(rounding: 1_024)
      var memory = [Output](repeating: canary, count: misalignment + expected.count + 64)
      try unsafe memory.withUnsafeMutableBufferPointer { memory in
        var output = unsafe UnsafeMutableBufferPointer(
          rebasing: memory[misalignment..<misalignment + expected.count])
        if let place {
          try unsafe kernels.embed(
            ids: ids, tokens: table.table, positions: positions, shape: shape, at: place,
            options: EmbedOptions(scale: scale), into: &output)
        } else {
          try unsafe kernels.embed(
            ids: ids.map(Int.init), tokens: table.table, shape: shape,
            options: EmbedOptions(scale: scale), into: &output)
        }
      }
      let what = "\(table.table.format), dim \(dim), \(Position.self) to \(Output.self), \(kernels)"
      expectSame(
        memory[misalignment...].prefix(expected.count).map(\.widened), expected, what)
      let untouched = (memory.prefix(misalignment) + memory.suffix(64)).map(\.widened)
      expectSame(untouched, [Float](repeating: 1_024, count: misalignment + 64), "beside, \(what)")
    }
  }

  /// Aligned wide rows, as they are streamed past the cache in whole lines.
  @Test(arguments: RowFormat.allCases)
  func alignedRowsAreStreamed(_ format: RowFormat) throws {
    var random = SeededGenerator(seed: 23)
    let dim = 256
    let table = try TestRows(format, rows: 40, dim: dim, &random)
    let ids = (0..<64).map { _ in Int64.random(in: 0..<40, using: &random) }
    let floats = random.floats(16 * dim)
    let positions = try EmbeddingTable(rows: 16, dim: dim, copying: floats.span)
    let expected = Reference.embed(
      ids: ids.map(Int.init), tokens: table.elements, positions: positions.span.array,
      places: (0..<64).map { $0 % 16 }, dim: dim)
    let layer = try RowEmbedding(tokens: table.table, positions: positions)
    for kernels in Kernels.everyWay {
      var output = try layer.makeOutput(batch: 4, context: 16)
      try layer.forward(ids, batch: 4, context: 16, into: &output, using: kernels)
      expectSame(output.span.array, expected, "\(format), \(kernels)")
      var narrow = try layer.makeOutput(BFloat16.self, batch: 4, context: 16)
      try layer.forward(ids, batch: 4, context: 16, into: &narrow, using: kernels)
      expectSame(
        narrow.span.array.map(\.float), expected.map { BFloat16($0).float }, "\(format), \(kernels)"
      )
    }
  }

  /// Ids and positions outside their tables, where the caller asked to tolerate them.
  @Test(arguments: RowFormat.allCases)
  func policiesHold(_ format: RowFormat) throws {
    var random = SeededGenerator(seed: 24)
    let dim = format.dims.last ?? 0
    let table = try TestRows(format, rows: 4, dim: dim, &random)
    let positions = random.floats(2 * dim)
    let shape = EmbeddingShape(vocabulary: 4, batch: 1, context: 4, dim: dim)
    func expected(_ rows: [Int?]) -> [Float] {
      rows.enumerated().flatMap { n, row in
        (0..<dim).map { c in
          let token = row.map { table.elements[$0 * dim + c] * 2 } ?? 0
          return Half(token + positions[min(n, 1) * dim + c]).float
        }
      }
    }
    for kernels in Kernels.everyWay {
      for (policy, rows) in [(UnknownIDs.zeroRow, [3, nil, nil, 0]), (.clamp, [3, 3, 0, 0])] {
        var output = [Half](repeating: Half(0), count: 4 * dim)
        try kernels.embed(
          ids: [3, 9, -1, 0] as [Int32], tokens: table.table, positions: positions, shape: shape,
          options: EmbedOptions(scale: 2, unknownIDs: policy, positionOverflow: .clamp),
          into: &output)
        expectSame(output.map(\.float), expected(rows), "\(format), \(policy), \(kernels)")
      }
    }
  }

  @Test func whatIsWrongIsNamedBeforeAnythingIsWritten() throws {
    let table = try RowTable(
      quantizing: (0..<32).map(Float.init), rows: 4, dim: 8, as: .int8)
    let positions = [Float](repeating: 1, count: 16)
    let shape = EmbeddingShape(vocabulary: 4, batch: 1, context: 2, dim: 8)
    var output = [Float](repeating: 7, count: 16)
    func fault(
      _ ids: [Int] = [0, 1], _ shape: EmbeddingShape = shape, at place: PositionIDs = .sequential(),
      using kernels: Kernels = .auto, scale: Float = 1
    ) -> EmbedError? {
      #expect(throws: EmbedError.self) {
        try kernels.embed(
          ids: ids, tokens: table, positions: positions, shape: shape, at: place,
          options: EmbedOptions(scale: scale), into: &output)
      }
    }
    #expect(
      fault([0, 4]) == .tokenOutOfRange(id: 4, batchRow: 0, position: 1, vocabulary: 4))
    #expect(
      fault([0]) == .wrongElementCount(argument: "ids", expected: 2, shape: [1, 2], actual: 1))
    var other = shape
    other.vocabulary = 5
    #expect(
      fault([0, 1], other)
        == .wrongElementCount(argument: "tokens", expected: 40, shape: [5, 8], actual: 32))
    // As many elements in another shape.
    (other.vocabulary, other.dim) = (8, 4)
    #expect(fault([0, 1], other) != nil)
    #expect(
      fault(at: .sequential(offset: 1)) == .contextTooLong(offset: 1, context: 2, maximum: 2))
    #expect(fault(using: .auto.threads(0)) != nil)
    #expect(fault(scale: .infinity) != nil)
    #expect(output == [Float](repeating: 7, count: 16))
    let short = try EmbeddingTable<Float>(rows: 3, dim: 7)
    #expect(
      throws: EmbedError.invalidSize(
        argument: "dim of the position table", value: 7, expected: "the token table's, 8")
    ) { try RowEmbedding(tokens: table, positions: short) }
  }

  /// An output in the rows' memory or in their scales'.
  @Test func sharedMemoryIsRefused() throws {
    let memory = try AlignedBuffer<Float>(count: 64)
    let owner = Owner(memory)
    let all = unsafe UnsafeRawBufferPointer(owner.memory.unsafeBuffer)
    for (rows, scales) in [(0, 128), (128, 0)] {
      let table = try unsafe RowTable(
        rows: 4, dim: 8, format: .int8,
        bytes: UnsafeRawBufferPointer(rebasing: all[rows..<rows + 32]),
        scales: UnsafeRawBufferPointer(rebasing: all[scales..<scales + 16]), of: owner)
      var output = unsafe UnsafeMutableBufferPointer(
        rebasing: owner.memory.unsafeBuffer[2..<10])
      #expect(throws: EmbedError.overlappingMemory(argument: "tokens")) {
        try unsafe Kernels.auto.embed(
          ids: [1], tokens: table,
          shape: EmbeddingShape(vocabulary: 4, batch: 1, context: 1, dim: 8), into: &output)
      }
      // Beside them is no fault.
      unsafe output = UnsafeMutableBufferPointer(rebasing: owner.memory.unsafeBuffer[40..<48])
      try unsafe Kernels.auto.embed(
        ids: [1], tokens: table,
        shape: EmbeddingShape(vocabulary: 4, batch: 1, context: 1, dim: 8), into: &output)
    }
  }

  @Test func nothingIsNothing() throws {
    let table = try RowTable(quantizing: [1, 2], rows: 1, dim: 2, as: .fbgemm8)
    var output = [Float]()
    try Kernels.auto.embed(
      ids: [Int32](), tokens: table,
      shape: EmbeddingShape(vocabulary: 1, batch: 0, context: 3, dim: 2), into: &output)
  }
}

@safe private final class Owner: Sendable {
  let memory: AlignedBuffer<Float>
  init(_ memory: consuming AlignedBuffer<Float>) { self.memory = memory }
}

/// Rows of random bytes, and what plain loops decode them to. Scales are finite: which payload survives of
/// two NaN is the processor's choice.
private struct TestRows {
  let table: RowTable
  let elements: [Float]

  init(_ format: RowFormat, rows: Int, dim: Int, _ random: inout SeededGenerator) throws {
    let floats = random.floats(rows * dim)
    let table = try RowTable(quantizing: floats, rows: rows, dim: dim, as: format)
    self.table = table
    elements = try format.reference(
      table.rowBytes.array, table.scaleBytes.array, rows: rows, dim: dim)
  }
}

/// What the tests need of an element type.
private protocol TestElement: TableElement {
  init(rounding value: Float)
  var widened: Float { get }
}

extension Float: TestElement {
  fileprivate init(rounding value: Float) { self = value }
  fileprivate var widened: Float { self }
}

extension SixteenBitElement {
  fileprivate init(rounding value: Float) { self.init(value) }
  fileprivate var widened: Float { float }
}

extension Half: TestElement {}
extension BFloat16: TestElement {}
