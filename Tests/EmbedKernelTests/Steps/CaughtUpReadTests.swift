// Whoever reads a table sees the values of dense AdamW, whatever rows an exact-lazy optimiser has left
// behind and whether it was told of the reading or not.

import Dispatch
import EmbedFactorizations
import EmbedKernel
import EmbedModels
import EmbedResizing
import TestSupport
import Testing

@Suite struct CaughtUpReadTests {
  private static let rows = 7
  private static let dim = 6
  private static let rate = LearningRate.constant(0.1)

  private static func rule(_ untouched: UntouchedRows) throws -> UpdateRule {
    try .adamW(learningRate: rate, weightDecay: 0.1, untouched: untouched)
  }

  private static func table() throws -> EmbeddingTable<Float> {
    try EmbeddingTable<Float>(rows: rows, dim: dim, .normal(sigma: 1), seed: 5)
  }

  private static func gradient(_ row: Int) throws -> RowSparseGradient {
    try sparseGradient(
      rows: rows, dim: dim, [row: (0..<dim).map { Float($0) - 2.5 }])
  }

  /// Rows with a gradient at each step: row 2 misses the last three.
  private static let touched = [2, 0, 6, 0]

  /// A table that is stepped lazily, and its optimiser; the values of dense AdamW, and those of its
  /// first step.
  private struct Pair {
    let table: EmbeddingTable<Float>
    let optimizer: TableOptimizer
    let expected: EmbeddingTable<Float>
    let afterOne: [Float]
  }

  private static func pair() throws -> Pair {
    let (table, expected) = try (Self.table(), Self.table())
    let optimizer = try TableOptimizer(rule(.caughtUp), for: table)
    let reference = try TableOptimizer(rule(.stepped), for: expected)
    var afterOne: [Float] = []
    for row in touched {
      try optimizer.step(gradient(row))
      try reference.step(gradient(row))
      if afterOne.isEmpty { afterOne = elements(expected) }
    }
    return Pair(table: table, optimizer: optimizer, expected: expected, afterOne: afterOne)
  }

  private static func expectClose(_ actual: [Float], _ expected: [Float], _ comment: Comment) {
    #expect(actual.count == expected.count, comment)
    let distance = zip(actual, expected).map { abs($0 - $1) }.max() ?? .infinity
    #expect(distance < 1e-5, comment)
  }

  /// The ways to read a table's values.
  enum Reader: String, CaseIterable, Sendable {
    case span, spanOfIDs, row, element, unsafeBuffer, mutableSpan, copying
    case kernelsOnTables, kernelsOnElements, tokens, layer, layerIntoPointer, fused, factorised,
      tied
    case factorisedHead, singularValues, resized, interpolated, saved, rounded, normalised, padding
    case renormalised

    func read(_ table: EmbeddingTable<Float>) throws -> [Float] {
      let (rows, dim) = (table.rows, table.dim)
      let ids = (0..<rows).map { Int32($0) }
      var output = [Float](repeating: 0, count: rows * dim)
      let shape = EmbeddingShape(vocabulary: rows, batch: 1, context: rows, dim: dim)
      var identity = [Float](repeating: 0, count: dim * dim)
      for i in 0..<dim { identity[i * dim + i] = 1 }
      switch self {
      case .span:
        let span = table.span
        return span.indices.map { span[$0] }
      case .spanOfIDs:
        let span = table.span(of: ids.span)
        return span.indices.map { span[$0] }
      case .row:
        for row in 0..<rows {
          let values = table[row]
          for i in 0..<dim { output[row * dim + i] = values[i] }
        }
      case .element:
        return (0..<rows * dim).map { table[$0 / dim, $0 % dim] }
      case .unsafeBuffer:
        return unsafe Array(table.unsafeBuffer)
      case .mutableSpan:
        table.withMutableSpan { span in
          for i in span.indices { output[i] = span[i] }
        }
      case .copying:
        let copy = try EmbeddingTable<Float>(rows: rows, dim: dim, copying: table.span)
        return EmbedKernelTests.elements(copy)
      case .kernelsOnTables:
        try Kernels.auto.embed(
          ids: ids, tokens: table, positions: nil, shape: shape, into: &output)
      case .kernelsOnElements:
        try Kernels.auto.embed(
          ids: [Int](repeating: 0, count: rows), tokens: [Float](repeating: 0, count: rows * dim),
          positions: table.span, shape: shape, into: &output)
      case .tokens:
        try TokenEmbedding(table: table).forward(ids, batch: 1, context: rows, into: &output)
      case .layer:
        try InputEmbedding(tokens: TokenEmbedding(table: table), positions: nil)
          .forward(ids, batch: 1, context: rows, into: &output)
      case .layerIntoPointer:
        try unsafe output.withUnsafeMutableBufferPointer { output in
          try unsafe InputEmbedding(tokens: TokenEmbedding(table: table), positions: nil)
            .forward(ids, batch: 1, context: rows, into: &output)
        }
      case .fused:
        let zeros = try TokenEmbedding(table: EmbeddingTable<Float>(rows: 1, dim: dim))
        let layer = try FusedInputEmbedding(
          InputEmbedding(tokens: zeros, positions: nil), segments: table)
        try layer.forward(
          [Int32](repeating: 0, count: rows), segmentIDs: ids, batch: 1, context: rows,
          into: &output)
      case .factorised:
        let units = try EmbeddingTable<Float>(rows: dim, dim: dim, copying: identity.span)
        let narrow = try FusedInputEmbedding(
          InputEmbedding(tokens: TokenEmbedding(table: table), positions: nil))
        let layer = try FactorizedEmbedding(narrow, projection: FactorProjection(matrix: units))
        var workspace = try FactorWorkspace()
        try layer.forward(
          ids, batch: 1, context: rows, workspace: &workspace, into: &output)
      case .tied:
        try TiedProjection(TokenEmbedding(table: table)).logits(identity, rows: dim, into: &output)
      case .factorisedHead:
        let units = try EmbeddingTable<Float>(rows: rows, dim: rows)
        let narrow = try FusedInputEmbedding(
          InputEmbedding(tokens: TokenEmbedding(table: units), positions: nil))
        let projection = try FactorProjection(matrix: table)
        units.withMutableSpan { span in
          for i in 0..<rows { span[i * rows + i] = 1 }
        }
        let head = try FactorizedTiedProjection(FactorizedEmbedding(narrow, projection: projection))
        var workspace = try FactorWorkspace()
        try head.logits(identity, rows: dim, workspace: &workspace, into: &output)
      case .singularValues:
        return try table.singularValues().map { Float($0) }
      case .resized:
        let grown = try TokenEmbedding(table: table).resized(vocabulary: rows + 2, newRows: .mean)
        return EmbedKernelTests.elements(grown.table)
      case .interpolated:
        return try EmbedKernelTests.elements(table.interpolated(rows: 12))
      case .saved:
        let folder = try TemporaryFolder()
        let path = folder.path("model.safetensors")
        try InputEmbedding(tokens: TokenEmbedding(table: table), positions: nil)
          .save(to: path, names: .gpt2)
        return try EmbedKernelTests.elements(InputEmbedding(contentsOf: path).tokens.table)
      case .rounded:
        return try EmbedKernelTests.elements(
          EmbeddingTable<BFloat16>(rounding: table).widened())
      case .normalised:
        // Gamma is a table like any other.
        let gamma = try EmbeddingTable<Float>(rows: 1, dim: rows * dim, copying: table.span)
        return EmbedKernelTests.elements(gamma)
      case .padding:
        try TokenEmbedding(table: table, paddingID: 2).clearPaddingRow()
        return EmbedKernelTests.elements(table)
      case .renormalised:
        var groups = try RowGroups()
        try TokenEmbedding(table: table)
          .renormalize([Int32(2)], context: 1, maximum: 0.5, groups: &groups)
        return EmbedKernelTests.elements(table)
      }
      return output
    }
  }

  @Test(arguments: Reader.allCases)
  func everyReaderSeesTheValuesOfDenseAdamW(_ reader: Reader) throws {
    let pair = try Self.pair()
    // The reading is of something that was behind.
    let (late, early) = (elements(pair.expected), pair.afterOne)
    #expect(abs(late[2 * Self.dim] - early[2 * Self.dim]) > 0.1)
    let actual = try reader.read(pair.table)
    try Self.expectClose(actual, reader.read(pair.expected), "\(reader)")
    // And the run goes on as if nothing had been read.
    if reader != .padding, reader != .renormalised {
      try pair.optimizer.step(Self.gradient(4))
      let other = try TableOptimizer(Self.rule(.stepped), for: Self.table())
      for row in Self.touched + [4] { try other.step(Self.gradient(row)) }
      Self.expectClose(
        elements(pair.table), elements(try #require(other.table)), "\(reader), a step later")
    }
    withExtendedLifetime(pair.optimizer) {}
  }

  /// One row is read: it alone is brought up to date, with the bits of `prepare`.
  @Test func aLayersForwardHasTheBitsOfPrepareAndOfTheOptimisersOwn() throws {
    var outputs: [[Float]] = []
    var tables: [[Float]] = []
    for way in 0..<3 {
      let layer = try InputEmbedding(
        vocabulary: 40, dim: 20, positions: .learned(maximum: 9), seed: 3)
      let optimizer = try Optimizer(Self.rule(.caughtUp), for: layer)
      var random = SeededGenerator(seed: 4)
      var output = try layer.makeOutput(batch: 2, context: 3)
      for step in 0..<12 {
        let ids = (0..<6).map { _ in Int32.random(in: 0..<40, using: &random) }
        let place = PositionIDs.sequential(offset: step % 7)
        let gradient = random.floats(6 * 20)
        switch way {
        case 0:
          try layer.forward(ids, batch: 2, context: 3, at: place, into: &output)
          outputs.append(output.elements)
          try optimizer.step(
            outputGradient: gradient, ids: ids, batch: 2, context: 3, at: place)
          continue
        case 1:
          try optimizer.prepare(ids, batch: 2, context: 3, at: place)
          try layer.forward(ids, batch: 2, context: 3, at: place, into: &output)
        default:
          try optimizer.forward(ids, batch: 2, context: 3, at: place, into: &output)
        }
        outputs.append(output.elements)
        try optimizer.step(outputGradient: gradient)
      }
      tables.append(elements(layer.tokens.table) + elements(try #require(layer.positions)))
    }
    for step in 0..<12 {
      expectSameBits(outputs[12 + step], outputs[step], "prepared, step \(step)")
      expectSameBits(outputs[24 + step], outputs[step], "in one, step \(step)")
    }
    expectSameBits(tables[1], tables[0], "prepared")
    expectSameBits(tables[2], tables[0], "in one")
  }

  static let places: [PositionIDs] = [
    .sequential(offset: 5), .offsets([4, 0]), .explicit([7, 0, 3, 3, 6, 1]), .explicit([5, 6, 0]),
    .packed(cumulativeLengths: [0, 1, 6]), .mask([0, 1, 1, 1, 1, 1]),
  ]

  @Test(arguments: places.indices)
  func positionsAreUpToDateWhereverTheyStand(_ at: Int) throws {
    func output(_ untouched: UntouchedRows) throws -> [Float] {
      let layer = try InputEmbedding(
        vocabulary: 9, dim: 4, positions: .learned(maximum: 8), seed: 3)
      let optimizer = try Optimizer(Self.rule(untouched), for: layer)
      for start in [0, 5, 2, 2] {
        let ids = [Int32](repeating: Int32(start), count: 3)
        try optimizer.step(
          outputGradient: (0..<12).map { Float($0) - 5 }, ids: ids, batch: 1, context: 3,
          at: .sequential(offset: start))
      }
      var output = [Float](repeating: 0, count: 6 * 4)
      try layer.forward(
        [Int32](0..<6), batch: 2, context: 3, at: Self.places[at], into: &output)
      return output
    }
    try Self.expectClose(output(.caughtUp), output(.stepped), "\(Self.places[at])")
  }

  @Test func idsThatAreClampedReadTheRowTheyAreClampedTo() throws {
    let pair = try Self.pair()
    func output(_ table: EmbeddingTable<Float>) throws -> [Float] {
      var output = [Float](repeating: 0, count: 3 * Self.dim)
      try InputEmbedding(
        tokens: TokenEmbedding(table: table), positions: nil, unknownIDs: .clamp
      ).forward([-3, 2, 99], batch: 1, context: 3, into: &output)
      return output
    }
    try Self.expectClose(output(pair.table), output(pair.expected), "clamped")
  }

  @Test func aReleasedOptimiserLeavesNoRowBehind() throws {
    let (table, expected) = try (Self.table(), Self.table())
    let reference = try TableOptimizer(Self.rule(.stepped), for: expected)
    do {
      let optimizer = try TableOptimizer(Self.rule(.caughtUp), for: table)
      for row in Self.touched { try optimizer.step(Self.gradient(row)) }
    }
    for row in Self.touched { try reference.step(Self.gradient(row)) }
    Self.expectClose(elements(table), elements(expected), "released")
    // The next optimiser starts from there.
    let next = try TableOptimizer(Self.rule(.caughtUp), for: table)
    let nextReference = try TableOptimizer(Self.rule(.stepped), for: expected)
    for row in [1, 2, 1] {
      try next.step(Self.gradient(row))
      try nextReference.step(Self.gradient(row))
    }
    Self.expectClose(elements(table), elements(expected), "the next optimiser")
  }

  /// Who else steps a table: another rule, and other optimisers that catch up, on all rows or on their
  /// own.
  enum Others: String, CaseIterable, Sendable {
    case left, stepped, caughtUp, apart, dense
  }

  @Test(arguments: Others.allCases)
  func optimisersOfOneTableStepInTheOrderOfTheirCalls(_ others: Others) throws {
    func run(lazily: Bool) throws -> [Float] {
      let table = try Self.table()
      let untouched: UntouchedRows = lazily ? .caughtUp : .stepped
      let first = try TableOptimizer(
        Self.rule(untouched), for: table, trainable: others == .apart ? .range(0..<4) : .all)
      let slower = LearningRate.constant(0.03)
      let second =
        switch others {
        case .left: try TableOptimizer(.sgd(learningRate: slower, untouched: .left), for: table)
        case .stepped, .dense:
          try TableOptimizer(.adam(learningRate: slower, untouched: .stepped), for: table)
        case .caughtUp:
          try TableOptimizer(.adamW(learningRate: slower, untouched: untouched), for: table)
        case .apart:
          try TableOptimizer(
            .adamW(learningRate: slower, untouched: untouched), for: table,
            trainable: .rows([6, 4]))
        }
      for (n, row) in [2, 0, 6, 0, 2, 4, 4].enumerated() {
        try first.step(Self.gradient(row))
        if others == .dense {
          try second.step(dense: [Float](repeating: Float(n) - 3, count: Self.rows * Self.dim))
        } else {
          try second.step(Self.gradient([2, 6, 1][n % 3]))
        }
      }
      return elements(table)
    }
    try Self.expectClose(run(lazily: true), run(lazily: false), "\(others)")
  }

  @Test func aTableOfMasterRowsIsReadUpToDate() throws {
    func run(_ untouched: UntouchedRows, _ read: (EmbeddingTable<BFloat16>) throws -> [Float])
      throws -> [Float]
    {
      let table = try EmbeddingTable<BFloat16>(rounding: Self.table())
      let optimizer = try TableOptimizer(
        Self.rule(untouched), for: table, updates: .masters(table.widened()))
      for row in Self.touched { try optimizer.step(Self.gradient(row)) }
      return try withExtendedLifetime(optimizer) { try read(table) }
    }
    let readers: [(EmbeddingTable<BFloat16>) throws -> [Float]] = [
      { table in (0..<Self.rows * Self.dim).map { table.span[$0].float } },
      { table in (0..<Self.rows * Self.dim).map { table[$0 / Self.dim][$0 % Self.dim].float } },
      { table in (0..<Self.rows * Self.dim).map { table[$0 / Self.dim, $0 % Self.dim].float } },
      { try elements($0.widened()) },
      { table in
        var output = [Float](repeating: 0, count: Self.rows * Self.dim)
        try Kernels.auto.embed(
          ids: [Int](0..<Self.rows), tokens: table, positions: nil,
          shape: EmbeddingShape(
            vocabulary: Self.rows, batch: 1, context: Self.rows, dim: Self.dim), into: &output)
        return output
      },
    ]
    for (n, read) in readers.enumerated() {
      let (actual, expected) = try (run(.caughtUp, read), run(.stepped, read))
      // A float next to the middle of two bfloat16 may be rounded to either.
      for (a, b) in zip(actual, expected) { #expect(abs(a - b) <= abs(b) / 128, "reader \(n)") }
      #expect(actual.count == expected.count)
    }
  }

  @Test func threadsThatReadAtOnceSeeTheSame() throws {
    let (rows, dim) = (500, 32)
    func layer(_ untouched: UntouchedRows) throws -> (InputEmbedding, Optimizer) {
      let layer = try InputEmbedding(
        vocabulary: rows, dim: dim, positions: .learned(maximum: 20), seed: 3)
      let optimizer = try Optimizer(Self.rule(untouched), for: layer)
      for n in 0..<6 {
        let ids = (0..<20).map { Int32(($0 * 31 + n * 100) % rows) }
        try optimizer.step(
          outputGradient: (0..<20 * dim).map { Float($0 % 7) - 3 }, ids: ids, batch: 1, context: 20)
      }
      return (layer, optimizer)
    }
    let (lazy, optimizer) = try layer(.caughtUp)
    let (dense, _) = try layer(.stepped)
    let ids = (0..<400).map { Int32($0 * 7 % rows) }
    var expected = [Float](repeating: 0, count: 400 * dim)
    try dense.forward(ids, batch: 20, context: 20, into: &expected)
    let close = expected
    DispatchQueue.concurrentPerform(iterations: 8) { _ in
      var output = [Float](repeating: 0, count: 400 * dim)
      #expect(throws: Never.self) {
        try lazy.forward(ids, batch: 20, context: 20, into: &output)
      }
      Self.expectClose(output, close, "concurrent")
    }
    withExtendedLifetime(optimizer) {}
  }

  /// The order in which a checkpoint's parts are read does not matter.
  @Test func stateAndValuesBelongTogetherInEitherOrder() throws {
    var saved: [(values: [Float], state: [[UInt8]])] = []
    for valuesFirst in [true, false] {
      let pair = try Self.pair()
      var values = valuesFirst ? elements(pair.table) : []
      var state: [[UInt8]] = []
      pair.optimizer.forEachStateArray { _, bytes in state.append(copied(bytes)) }
      if !valuesFirst { values = elements(pair.table) }
      saved.append((values, state))
      Self.expectClose(values, elements(pair.expected), "values first: \(valuesFirst)")
    }
    let names = try Self.pair().optimizer.stateArrays.map(\.name)
    let steps = try #require(names.firstIndex(of: "parameter_steps"))
    for (_, state) in saved {
      #expect(state[steps] == Array([Int32](repeating: 4, count: Self.rows).bytes))
    }
  }

  @Test func aStepNeedsABatchOfItsOwn() throws {
    let layer = try InputEmbedding(vocabulary: 9, dim: 4, positions: .learned(maximum: 3))
    let optimizer = try Optimizer(Self.rule(.caughtUp), for: layer)
    let gradient = [Float](repeating: 1, count: 12)
    let refusal = EmbedError.unsupported(
      argument: "output gradient", value: "of no batch",
      expected: "forward or prepare before each step, or the batch's ids with it")
    #expect(throws: refusal) { try optimizer.step(outputGradient: gradient) }
    try optimizer.prepare([1, 2, 3], batch: 1, context: 3)
    try optimizer.step(outputGradient: gradient)
    // The batch before is no batch of this step, though it has as many tokens.
    #expect(throws: refusal) { try optimizer.step(outputGradient: gradient) }
    #expect(optimizer.stepCount == 1)
    try optimizer.step(outputGradient: gradient, ids: [4, 5, 6], batch: 1, context: 3)
    #expect(optimizer.stepCount == 2)
  }
}

extension [Int32] {
  /// The bytes in the machine's order.
  fileprivate var bytes: [UInt8] {
    flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
  }
}
