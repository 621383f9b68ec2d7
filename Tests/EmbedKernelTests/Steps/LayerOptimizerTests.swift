// The optimiser of a layer: its fused pass against backward and then the step, its forward against
// prepare and then the layer's, and the one gradient of a tied table.

import EmbedKernel
import ReferenceKernels
import TestSupport
import Testing

@Suite struct LayerOptimizerTests {
  struct Case: Sendable, CustomStringConvertible {
    var name: String
    var untouched: UntouchedRows
    var positions: AbsolutePositions
    var place = PositionIDs.sequential()
    var batch = 3
    var context = 11
    var dim = 40
    var description: String {
      "\(name), \(untouched.rawValue), \(positions), \(place), \(batch) x \(context) x \(dim)"
    }

    static let all: [Case] = {
      var cases: [Case] = []
      let rules: [(String, UntouchedRows)] = [
        ("sgd", .left), ("adagrad", .left), ("row-wise-adagrad", .left), ("lamb", .left),
        ("adamw", .left), ("adamw", .caughtUp), ("adamw", .stepped), ("momentum", .left),
      ]
      let learned = AbsolutePositions.learned(maximum: 16)
      for (name, untouched) in rules {
        cases.append(Case(name: name, untouched: untouched, positions: learned))
        cases.append(Case(name: name, untouched: untouched, positions: .none))
        cases.append(
          Case(name: name, untouched: untouched, positions: learned, place: .sequential(offset: 4)))
      }
      for (name, untouched) in [("sgd", UntouchedRows.left), ("adamw", .caughtUp)] {
        let explicit = (0..<11).map { Int32(($0 * 7) % 5) }
        cases += [
          Case(name: name, untouched: untouched, positions: learned, place: .explicit(explicit)),
          Case(name: name, untouched: untouched, positions: .sinusoidal(maximum: 16)),
          // More sequences than a run of a sum has, and rows longer than a chunk.
          Case(name: name, untouched: untouched, positions: learned, batch: 70, context: 2),
          Case(name: name, untouched: untouched, positions: learned, batch: 1, dim: 1_030),
          Case(name: name, untouched: untouched, positions: learned, batch: 8, context: 1, dim: 1),
          Case(name: name, untouched: untouched, positions: learned, batch: 5, dim: 17),
        ]
      }
      return cases
    }()
  }

  private struct Run {
    var outputs: [[Float]] = []
    var tables: [[Float]] = []
    var state: [[UInt8]] = []
  }

  private let vocabulary = 60

  /// Three steps and the forward pass after them.
  private func run(_ c: Case, _ kernels: Kernels, fused: Bool) throws -> Run {
    let layer = try InputEmbedding(
      vocabulary: vocabulary, dim: c.dim, positions: c.positions, scale: .value(1.5), paddingID: 3,
      seed: 4)
    let rule = try UpdateRule.named(
      c.name, learningRate: .cosine(peak: 0.01, warmup: 2, total: 9),
      numbers: UpdateNumbers(weightDecay: 0.1),
      untouched: c.untouched)
    let optimizer = try Optimizer(rule, for: layer)
    var gradient = try layer.makeGradient()
    var output = try layer.makeOutput(batch: c.batch, context: c.context)
    var random = SeededGenerator(seed: 21)
    var run = Run()
    for _ in 0..<4 {
      let ids = (0..<c.batch * c.context).map { n in
        // Some tokens several times, padding among them.
        Int32(n % 3 == 0 ? n % 7 : Int.random(in: 0..<vocabulary, using: &random))
      }
      let outputGradient = random.floats(output.count)
      var span = output.mutableSpan
      if fused {
        try optimizer.forward(
          ids.span, batch: c.batch, context: c.context, at: c.place, into: &span, using: kernels)
        run.outputs.append(output.elements)
        try optimizer.step(outputGradient: outputGradient.span, scale: 0.5, using: kernels)
      } else {
        try optimizer.prepare(
          ids.span, batch: c.batch, context: c.context, at: c.place, using: kernels)
        try layer.forward(
          ids.span, batch: c.batch, context: c.context, at: c.place, into: &span, using: kernels)
        run.outputs.append(output.elements)
        try layer.backward(
          outputGradient.span, ids: ids.span, batch: c.batch, context: c.context, at: c.place,
          into: &gradient, using: kernels)
        try optimizer.step(gradient, scale: 0.5, using: kernels)
      }
    }
    run.tables = [elements(layer.tokens.table)] + (layer.positions.map { [elements($0)] } ?? [])
    for table in [optimizer.tokens, optimizer.positions] {
      table?.forEachStateArray { _, bytes in run.state.append(copied(bytes)) }
    }
    return run
  }

  @Test(arguments: Case.all)
  func fusedStepsGiveTheBitsOfBackwardAndStep(_ c: Case) throws {
    // The layer scales its tokens' gradient, then the step scales both: exact for a power of two.
    let expected = try run(c, .native.threads(1), fused: false)
    for kernels in OptimizerBitTests.ways {
      let actual = try run(c, kernels, fused: true)
      for (a, b) in zip(actual.outputs, expected.outputs) {
        expectSameBits(a, b, "output of \(c), \(kernels)")
      }
      for (a, b) in zip(actual.tables, expected.tables) {
        expectSameBits(a, b, "table of \(c), \(kernels)")
      }
      #expect(actual.state == expected.state, "state of \(c), \(kernels)")
    }
  }

  /// Enough tokens that the passes are cut for threads, and rows are written past the cache.
  @Test(arguments: ["adamw", "sgd"].inDebug(every: 2))
  func aLargeBatchDoesNotDependOnThreads(_ name: String) throws {
    let c = Case(
      name: name, untouched: name == "sgd" ? .left : .caughtUp, positions: .learned(maximum: 16),
      batch: 60, context: 16, dim: 2_304)
    let expected = try run(c, .native.threads(1), fused: false)
    for kernels in [Kernels.native.threads(3), .simd.threads(2)] {
      let actual = try run(c, kernels, fused: true)
      #expect(actual.outputs == expected.outputs && actual.tables == expected.tables)
      #expect(actual.state == expected.state)
    }
  }

  @Test(arguments: UpdateRule.names, UntouchedRows.allCases)
  func aTiedTableStepsByItsOneGradient(_ name: String, _ untouched: UntouchedRows) throws {
    if untouched == .caughtUp, name != "adamw" { return }
    let (dim, batch, context, padding) = (24, 2, 6, 5)
    func layer() throws -> InputEmbedding {
      try InputEmbedding(
        vocabulary: vocabulary, dim: dim, positions: .learned(maximum: 8), paddingID: padding,
        seed: 2)
    }
    let rule = try UpdateRule.named(
      name, learningRate: .constant(0.01), numbers: UpdateNumbers(weightDecay: 0.1),
      untouched: untouched)
    let (tied, plain) = try (layer(), layer())
    let optimizer = try Optimizer(rule, for: tied, trainable: .range(0..<50))
    let reference = try TableOptimizer(
      rule, for: plain.tokens.table, trainable: .range(0..<50), frozenRow: padding)
    let referencePositions = try TableOptimizer(rule, for: try #require(plain.positions))
    let head = try TiedProjection(tied.tokens)
    var table = try TableGradient(for: tied.tokens.table)
    var gradient = try tied.makeGradient()
    var random = SeededGenerator(seed: 8)
    let before = elements(tied.tokens.table)
    for _ in 0..<3 {
      let ids = (0..<batch * context).map { _ in Int32.random(in: 0..<60, using: &random) }
      let rows = batch * context
      let (hidden, logits) = (random.floats(rows * dim), random.floats(rows * vocabulary))
      let outputGradient = random.floats(rows * dim)
      var hiddenGradient = [Float](repeating: 0, count: rows * dim)
      var span = hiddenGradient.mutableSpan
      table.removeAll()
      try head.backward(
        logits.span, hidden: hidden.span, rows: rows, hiddenGradient: &span,
        tableGradient: &table)
      try tied.backward(
        outputGradient.span, ids: ids.span, batch: batch, context: context, into: &gradient)
      try table.add(gradient.tokens)
      try optimizer.step(tokens: table, positions: gradient.positions, scale: 0.25)
      // The same sum as a plain dense gradient.
      let sum = table.values
      try reference.step(dense: sum, scale: 0.25)
      try referencePositions.step(gradient.positions, scale: 0.25)
    }
    try optimizer.synchronise()
    try reference.synchronise()
    try referencePositions.synchronise()
    let after = elements(tied.tokens.table)
    expectSameBits(after, elements(plain.tokens.table), "\(name), tokens")
    expectSameBits(
      elements(try #require(tied.positions)), elements(try #require(plain.positions)),
      "\(name), positions")
    for row in 0..<vocabulary {
      let range = row * dim..<(row + 1) * dim
      let moved = Array(after[range]) != Array(before[range])
      #expect(moved == (row < 50 && row != padding), "\(name), row \(row)")
    }
  }

  @Test func gradientsOfOtherShapesAreRefused() throws {
    let layer = try InputEmbedding(vocabulary: 9, dim: 4, positions: .learned(maximum: 6))
    let optimizer = try Optimizer(.sgd(learningRate: .constant(1)), for: layer)
    let before = elements(layer.tokens.table)
    let tokens = try sparseGradient(rows: 9, dim: 4, [2: [1, 2, 3, 4]])
    let other = try sparseGradient(rows: 7, dim: 4, [2: [1, 2, 3, 4]])
    let table = try TableGradient(rows: 9, dim: 5)
    #expect(throws: EmbedError.self) { try optimizer.step(tokens: tokens, positions: other) }
    #expect(throws: EmbedError.self) { try optimizer.step(tokens: other, positions: tokens) }
    #expect(throws: EmbedError.self) { try optimizer.step(tokens: table, positions: other) }
    let positions = try sparseGradient(rows: 6, dim: 4, [:])
    #expect(throws: EmbedError.self) {
      try optimizer.step(tokens: tokens, positions: positions, scale: .nan)
    }
    #expect(elements(layer.tokens.table) == before)
    #expect(optimizer.stepCount == 0)
  }

  /// What the forward pass refuses, the optimiser's refuses too, with the same error.
  @Test(arguments: ["sgd", "adamw"])
  func forwardChecksItsArguments(_ name: String) throws {
    let layer = try InputEmbedding(vocabulary: 9, dim: 4, positions: .learned(maximum: 6))
    let rule = try UpdateRule.named(
      name, learningRate: .constant(1), untouched: name == "sgd" ? .left : .caughtUp)
    let optimizer = try Optimizer(rule, for: layer)
    func error(_ ids: [Int32], _ context: Int, outputs: Int) -> (EmbedError?, EmbedError?) {
      var errors: [EmbedError?] = []
      for own in [true, false] {
        var output = [Float](repeating: 7, count: outputs)
        var span = output.mutableSpan
        do throws(EmbedError) {
          if own {
            try optimizer.forward(ids.span, batch: 1, context: context, into: &span)
          } else {
            try layer.forward(ids.span, batch: 1, context: context, into: &span)
          }
          errors.append(nil)
        } catch {
          errors.append(error)
          #expect(output.allSatisfy { $0 == 7 })
        }
      }
      return (errors[0], errors[1])
    }
    for (ids, context, outputs): ([Int32], Int, Int) in [
      ([1, 2, 9], 3, 12), ([1, 2], 3, 12), ([1, 2, 3], 3, 13), ([1, 1, 1, 1, 1, 1, 1], 7, 28),
    ] {
      let (own, layers) = error(ids, context, outputs: outputs)
      #expect(own != nil && own == layers, "\(ids), \(context), \(outputs)")
    }
    let (own, layers) = error([1, 2, 3], 3, outputs: 12)
    #expect(own == nil && layers == nil)
  }
}
