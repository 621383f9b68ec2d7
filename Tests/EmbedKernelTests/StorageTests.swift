// The README's calls with whatever may hold the elements: arrays and slices, spans, this library's buffers
// and arrays read from files, and unsafe buffers; all give the same.

import EmbedKernel
import TestSupport
import Testing

@Suite struct StorageTests {
  private let batch = 2
  private let context = 3
  private let dim = 4
  private let ids: [Int32] = [1, 2, 3, 4, 5, 1]

  private func layer() throws -> InputEmbedding {
    try InputEmbedding(vocabulary: 9, dim: dim, positions: .learned(maximum: 3), seed: 1)
  }

  private func buffer(_ values: [Float]) throws -> AlignedBuffer<Float> {
    var buffer = try AlignedBuffer<Float>(count: values.count)
    for (i, value) in values.enumerated() { buffer[i] = value }
    return buffer
  }

  /// Ids in every storage, into every storage.
  @Test func forward() throws {
    let layer = try layer()
    let count = ids.count * dim
    var expected = [Float](repeating: 0, count: count)
    for (n, id) in ids.enumerated() {
      for i in 0..<dim {
        let position = try #require(layer.positions)[n % context, i]
        let table = layer.tokens.table
        expected[n * dim + i] = table[Int(id)][i] + position
      }
    }
    let folder = try TemporaryFolder()
    let path = folder.path("ids.npy")
    try NumPyFile.write(ids.span, shape: [batch, context], to: path)
    let file = try NumPyArray<Int32>(contentsOf: path)
    var idBuffer = try AlignedBuffer<Int32>(count: ids.count)
    for (i, id) in ids.enumerated() { idBuffer[i] = id }

    func expectInEveryOutput<IDs: ReadableElements & ~Copyable & ~Escapable>(
      _ ids: borrowing IDs, _ name: Comment
    ) throws where IDs.Element: TokenID {
      var array = [Float](repeating: 0, count: count)
      try layer.forward(ids, batch: batch, context: context, into: &array)
      #expect(array == expected, name)
      var memory = [Float](repeating: 0, count: count)
      var span = memory.mutableSpan
      try layer.forward(ids, batch: batch, context: context, into: &span)
      #expect(memory == expected, name)
      var buffer = try layer.makeOutput(batch: batch, context: context)
      try layer.forward(ids, batch: batch, context: context, into: &buffer)
      #expect(buffer.elements == expected, name)
      var contiguous = ContiguousArray<Float>(repeating: 0, count: count)
      try layer.forward(ids, batch: batch, context: context, into: &contiguous)
      #expect(Array(contiguous) == expected, name)
      var slice = [Float](repeating: 0, count: count + 2)[1..<count + 1]
      try layer.forward(ids, batch: batch, context: context, into: &slice)
      #expect(Array(slice) == expected, name)
      var pointed = [Float](repeating: 0, count: count)
      try unsafe pointed.withUnsafeMutableBufferPointer { output in
        try unsafe layer.forward(ids, batch: batch, context: context, into: &output)
      }
      #expect(pointed == expected, name)
    }
    try expectInEveryOutput(ids, "array")
    try expectInEveryOutput(ids.map(Int64.init), "array of Int64")
    try expectInEveryOutput(ids.map(Int.init)[...], "slice of Int")
    try expectInEveryOutput(ContiguousArray(ids), "contiguous array")
    try expectInEveryOutput(ids.span, "span")
    try expectInEveryOutput(idBuffer, "aligned buffer")
    try expectInEveryOutput(file, "NumPy array")
    try unsafe ids.withUnsafeBufferPointer { try unsafe expectInEveryOutput($0, "pointer") }
    // A value that comes out of a call that throws.
    var output = try layer.makeOutput(batch: batch, context: context)
    try layer.forward(
      try NumPyArray<Int32>(contentsOf: path), batch: batch, context: context, into: &output)
    #expect(output.elements == expected)
  }

  @Test func aTrainingStep() throws {
    let gradient = (0..<ids.count * dim).map { Float($0 % 5) - 2 }
    func run(_ step: (Optimizer) throws -> Void) throws -> [Float] {
      let layer = try layer()
      try step(Optimizer(.sgd(learningRate: .constant(1)), for: layer))
      return elements(layer.tokens.table)
    }
    let expected = try run { optimizer in
      var output = [Float](repeating: 0, count: gradient.count)
      try optimizer.forward(ids, batch: batch, context: context, into: &output)
      try optimizer.step(outputGradient: gradient)
    }
    let steps: [(Optimizer) throws -> Void] = [
      { optimizer in
        var output = try optimizer.layer.makeOutput(batch: batch, context: context)
        try optimizer.forward(ids.span, batch: batch, context: context, into: &output)
        try optimizer.step(outputGradient: gradient.span)
      },
      { optimizer in
        try optimizer.step(
          outputGradient: buffer(gradient), ids: ids, batch: batch, context: context)
      },
      { optimizer in
        let made = try optimizer.layer.backward(
          buffer(gradient), ids: ids[...], batch: batch, context: context)
        try optimizer.step(made)
      },
      { optimizer in
        var made = try optimizer.layer.makeGradient()
        try optimizer.layer.backward(
          gradient.span, ids: ids, batch: batch, context: context, into: &made)
        var norm = GradientNorm()
        norm.add(made.tokens)
        norm.add([Float](repeating: 1e6, count: 3))
        norm.add(try buffer([1, 2]))
        #expect(try norm.clipFactor(maximum: 1) < 1e-5)
        try optimizer.step(made)
      },
      { optimizer in
        try unsafe gradient.withUnsafeBufferPointer { gradient in
          try optimizer.prepare(ids, batch: batch, context: context)
          try unsafe optimizer.step(outputGradient: gradient)
        }
      },
    ]
    for (n, step) in steps.enumerated() {
      let actual = try run(step)
      #expect(actual == expected, "step \(n)")
    }
  }

  @Test func embedding() throws {
    let (vocabulary, count) = (9, ids.count * dim)
    let table = (0..<vocabulary * dim).map { Float($0) }
    let positions = (0..<context * dim).map { Float($0) / 8 }
    let shape = EmbeddingShape(vocabulary: vocabulary, batch: batch, context: context, dim: dim)
    var expected: [Float] = []
    for (n, id) in ids.enumerated() {
      for i in 0..<dim {
        expected.append(table[Int(id) * dim + i] + positions[n % context * dim + i])
      }
    }
    let (tokenTable, positionTable) = try (
      EmbeddingTable<Float>(rows: vocabulary, dim: dim, copying: table.span),
      EmbeddingTable<Float>(rows: context, dim: dim, copying: positions.span)
    )
    var output = [Float](repeating: 0, count: count)
    func expectOutput(_ name: Comment) {
      #expect(output == expected, name)
      for i in output.indices { output[i] = -1 }
    }
    try Kernels.auto.embed(
      ids: ids, tokens: table, positions: positions, shape: shape, into: &output)
    expectOutput("arrays")
    try Kernels.auto.embed(
      ids: ids.span, tokens: table.span, positions: positions.span, shape: shape, into: &output)
    expectOutput("spans")
    try Kernels.auto.embed(
      ids: ids, tokens: buffer(table), positions: positions[...], shape: shape, into: &output)
    expectOutput("buffer and slice")
    try Kernels.auto.embed(
      ids: ids, tokens: tokenTable, positions: positionTable, shape: shape, into: &output)
    expectOutput("tables")
    try Kernels.auto.embed(
      ids: ids, tokens: tokenTable.span, positions: positionTable.span, shape: shape, into: &output)
    expectOutput("tables' spans")
    try unsafe output.withUnsafeMutableBufferPointer { output in
      try unsafe Kernels.auto.embed(
        ids: ids, tokens: table, positions: positions, shape: shape, into: &output)
    }
    expectOutput("into a pointer")
    try Kernels.auto.embed(
      ids: ids, tokens: EmbeddingTable<BFloat16>(rounding: tokenTable),
      positions: EmbeddingTable<BFloat16>(rounding: positionTable), shape: shape, into: &output)
    #expect(zip(output, expected).allSatisfy { abs($0 - $1) <= abs($1) / 128 })
    var halves = [Half](repeating: Half(0), count: count)
    try Kernels.auto.embed(
      ids: ids, tokens: table, positions: positions, shape: shape, into: &halves)
    #expect(zip(halves, expected).allSatisfy { abs($0.float - $1) <= abs($1) / 1_024 })
    // Without positions.
    try Kernels.auto.embed(ids: ids, tokens: table, positions: nil, shape: shape, into: &output)
    #expect(output[0] == table[dim])
    try Kernels.auto.embed(
      ids: ids, tokens: tokenTable, positions: nil, shape: shape, into: &output)
    #expect(output[dim] == table[2 * dim])
  }

  @Test func rotationAndBiases() throws {
    let rotary = try RotaryEmbedding(headDim: 4)
    let shape = RotaryShape(batch: 1, heads: 2, context: 3, headDim: 4)
    let (queries, keys) = ((0..<24).map { Float($0) }, (0..<12).map { Float($0) / 2 })
    var expected = (queries, keys)
    try rotary.rotate(queries: &expected.0, keys: &expected.1, shape: shape, keyHeads: 1)
    #expect(expected.0 != queries && expected.1 != keys)
    var queryBuffer = try buffer(queries)
    var keyBuffer = try buffer(keys)
    try rotary.rotate(queries: &queryBuffer, keys: &keyBuffer, shape: shape, keyHeads: 1)
    #expect(queryBuffer.elements == expected.0 && keyBuffer.elements == expected.1)
    var (queryMemory, keyMemory) = (queries, keys)
    var span = queryMemory.mutableSpan
    try rotary.rotate(queries: &span, keys: &keyMemory, shape: shape, keyHeads: 1)
    #expect(queryMemory == expected.0 && keyMemory == expected.1)
    var rotated = [Float](repeating: 0, count: 24)
    try rotary.rotate(queries, shape: shape, into: &rotated)
    #expect(rotated == expected.0)
    rotated = queries
    try rotary.rotate(inPlace: &rotated, shape: shape)
    #expect(rotated == expected.0)

    let bias = try DistanceTable(ALiBi(heads: 2))
    let attention = AttentionShape(batch: 1, heads: 2, queries: 3, keys: 3)
    var logits = [Float](repeating: 0, count: 18)
    try Kernels.auto.addBias(bias, to: &logits, shape: attention, mask: .causal)
    #expect(logits[3] == Float(-ALiBi.slopes(heads: 2)[0]))
    var aligned = try AlignedBuffer<Float>(count: 18)
    try Kernels.auto.addBias(bias, to: &aligned, shape: attention, mask: .causal)
    #expect(aligned.elements == logits)
    var written = [Float](repeating: 7, count: 18)
    try Kernels.auto.writeBias(bias, into: &written, shape: attention, mask: .causal)
    #expect(written == logits)
  }

  @Test func aHead() throws {
    let tokens = try layer().tokens
    let head = try TiedProjection(tokens)
    let hidden = (0..<2 * dim).map { Float($0) }
    var logits = [Float](repeating: 0, count: 2 * 9)
    try head.logits(hidden, rows: 2, into: &logits)
    var buffered = try AlignedBuffer<Float>(count: 2 * 9)
    try head.logits(hidden.span, rows: 2, into: &buffered)
    #expect(buffered.elements == logits)
    var table = try TableGradient(for: tokens.table)
    var hiddenGradient = [Float](repeating: 0, count: 2 * dim)
    try head.backward(
      buffered, hidden: hidden, rows: 2, hiddenGradient: &hiddenGradient, tableGradient: &table)
    #expect(hiddenGradient.contains { $0 != 0 })
  }
}
