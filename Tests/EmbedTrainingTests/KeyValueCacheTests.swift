// Logits by cached keys and values against those of a pass over all tokens: both are within a pass's
// bound of the exact ones.

import EmbedKernel
import EmbedTraining
import ReferenceKernels
import Testing

@Suite struct KeyValueCacheTests {
  private func logits(_ model: GPT, _ ids: [Int32]) throws -> [Float] {
    let workspace = try GPTWorkspace(
      for: model, batch: 1, context: ids.count, purpose: .evaluation, threads: 2)
    var found = [Float](repeating: .nan, count: model.configuration.vocabulary)
    var span = found.mutableSpan
    try model.lastLogits(ids.span, batch: 1, context: ids.count, into: &span, in: workspace)
    return found
  }

  private func next(_ model: GPT, _ ids: [Int32], _ cache: KeyValueCache) throws -> [Float] {
    var found = [Float](repeating: .nan, count: model.configuration.vocabulary)
    var span = found.mutableSpan
    try model.nextLogits(ids.span, after: cache, into: &span)
    return found
  }

  private func expectClose(_ found: [Float], _ other: [Float], _ bound: Double, _ what: String) {
    let largest = Double(other.map { abs($0) }.max() ?? 0)
    for i in other.indices {
      #expect(
        Double(abs(found[i] - other[i])) <= 2 * bound * largest,
        "\(what)[\(i)]: \(found[i]) for \(other[i])")
    }
  }

  private func model(
    _ positions: PositionScheme, context: Int = 30, _ direction: AttentionDirection = .causal,
    layers: Int = 2
  ) throws -> GPT {
    let c = GPTCase(positions: positions, direction: direction, head: .untied)
    return try GPT.drawn(c.configuration(context: context, layers: layers), seed: 31)
  }

  /// Read in pieces of many lengths, across growth of the cache, with tokens taken back.
  @Test(arguments: PositionScheme.allCases)
  func cachedLogitsAreThoseOfAllTokens(_ positions: PositionScheme) throws {
    let model = try model(positions, context: 120)
    let cache = try KeyValueCache(for: model, threads: 2)
    let ids = GPTBatch(model.configuration, batch: 1, context: 120, seed: 32).ids
    var read = 0
    for piece in [1, 1, 5, 1, 60, 1, 1, 3, 1, 46] {
      let found = try next(model, Array(ids[read..<read + piece]), cache)
      read += piece
      #expect(cache.count == read)
      let expected = try logits(model, Array(ids[..<read]))
      expectClose(found, expected, model.bound(batch: 1, context: read), "\(read)")
    }
    #expect(read == 120)
    cache.removeLast(50)
    let other = try next(model, [3, 1, 4], cache)
    let bound = model.bound(batch: 1, context: 73)
    expectClose(other, try logits(model, ids[..<70] + [3, 1, 4]), bound, "after others")
    // The same again, bit for bit.
    cache.removeAll()
    let first = try next(model, Array(ids[..<9]), cache)
    cache.removeAll()
    #expect(try next(model, Array(ids[..<9]), cache) == first)
  }

  /// Against the oracle in Double, where keys are more than a tile and prompts more than a stretch.
  @Test(arguments: [PositionScheme.rope, .alibi, .t5])
  func longTextsAreTheOracles(_ positions: PositionScheme) throws {
    let model = try model(positions, context: 560, layers: 1)
    let cache = try KeyValueCache(for: model)
    let ids = GPTBatch(model.configuration, batch: 1, context: 560, seed: 33).ids
    _ = try next(model, Array(ids[..<558]), cache)
    _ = try next(model, [ids[558]], cache)
    let found = try next(model, [ids[559]], cache)
    let all = ids.map(Int.init)
    let exact = try model.reference.run(all, targets: all, context: 560).logits.suffix(11)
    expectClose(found, exact.map(Float.init), model.bound(batch: 1, context: 560), "last")
  }

  @Test func threadsChangeNoBitOfTheNextToken() throws {
    let model = try model(.t5)
    var found: [[Float]] = []
    for threads in [1, 2, 3, 7] {
      let cache = try KeyValueCache(for: model, threads: threads)
      _ = try next(model, [1, 2, 3, 4, 5, 6, 7], cache)
      found.append(try next(model, [8], cache))
    }
    for values in found { #expect(values == found[0]) }
  }

  @Test func wrongCallsAreRefusedAndChangeNothing() throws {
    let model = try model(.learned)
    let cache = try KeyValueCache(for: model, context: 5)
    let first = try next(model, [1, 2, 3], cache)
    #expect(throws: EmbedError.contextTooLong(offset: 3, context: 3, maximum: 5)) {
      try next(model, [1, 2, 3], cache)
    }
    #expect(throws: EmbedError.tokenOutOfRange(id: 11, batchRow: 0, position: 1, vocabulary: 11)) {
      try next(model, [1, 11], cache)
    }
    #expect(throws: EmbedError.self) { try next(model, [], cache) }
    #expect(cache.count == 3)
    cache.removeLast()
    #expect(try next(model, [3], cache).count == first.count)
    let other = try self.model(.learned, context: 31)
    #expect(throws: EmbedError.self) { try next(other, [1], cache) }
    #expect(throws: EmbedError.self) { try KeyValueCache(for: model, context: 0) }
    #expect(throws: EmbedError.contextTooLong(offset: 0, context: 31, maximum: 30)) {
      try KeyValueCache(for: model, context: 31)
    }
    let both = try self.model(.rope, .bidirectional)
    #expect(throws: EmbedError.self) { try KeyValueCache(for: both) }
    #expect(try both.sample(after: [1, 2], count: 3).count == 3)
  }

  /// Once the model sees no more, `slide` tokens are forgotten and the rest is read anew.
  @Test(arguments: [1, 2, 6], [[4], [1, 2, 3, 4, 5, 6, 7, 8, 9]] as [[Int32]])
  func slidingForgetsSoMany(_ slide: Int, prompt: [Int32]) throws {
    let model = try model(.rope, context: 6)
    var tokens = prompt, first = max(0, prompt.count - 6)
    for _ in 0..<20 {
      if tokens.count - first > 6 { first = tokens.count - 6 + slide - 1 }
      let values = try logits(model, Array(tokens[first...]))
      tokens.append(Int32(values.indices.max { values[$0] < values[$1] } ?? 0))
    }
    let drawn = try model.sample(
      after: prompt, count: 20, Sampling(temperature: 0, slide: slide), threads: 1)
    #expect(drawn == Array(tokens.dropFirst(prompt.count)))
    #expect(throws: TrainingError.self) {
      try model.sample(after: prompt, count: 1, Sampling(slide: 7))
    }
    #expect(throws: TrainingError.self) {
      try model.sample(after: prompt, count: 1, Sampling(slide: 0))
    }
  }
}
