// `positions` and `plot` with every attention bias, as a shell sees them.

import EmbedKernel
import EmbedSchemes
import TestSupport
import Testing

@Suite struct BiasCommandTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func positions(
    _ scheme: String, _ options: [String]
  ) throws -> (shape: [Int], elements: [Float]) {
    let path = folder.path("out.npy")
    let run = try embedkernel(["positions", scheme, "--output", path] + options)
    #expect(run.code == 0, "\(run.errors)")
    return try floats(path)
  }

  /// What the library writes for T queries against T keys.
  private func written(
    _ bias: any AttentionBias, heads: Int, context: Int, offset: Int = 0, mask: AttentionMask
  ) throws -> [Float] {
    var output = [Float](repeating: 0, count: heads * context * context)
    var span = output.mutableSpan
    let place = PositionIDs.sequential(offset: offset)
    try Kernels.auto.writeBias(
      bias, into: &span, shape: AttentionShape(heads: heads, queries: context, keys: context),
      queries: place, keys: place, mask: mask)
    return output
  }

  private func table(_ values: [Float], dim: Int) throws -> EmbeddingTable<Float> {
    try EmbeddingTable<Float>(rows: values.count / dim, dim: dim, copying: values.span)
  }

  private func weights(_ count: Int) -> [Float] { (0..<count).map { Float($0 % 23) / 8 - 1 } }

  @Test func biasesOfPositionsAreTheLibrarys() throws {
    let (heads, context) = (3, 9)
    let t5 = try folder.array("t5.npy", weights(8 * heads), [8, heads])
    let kerple = try folder.array("kerple.npy", weights(2 * heads), [2, heads])
    let count = FIRE.parameterCount(heads: heads, width: 32)
    let fire = try folder.array("fire.npy", weights(count), [count])
    let swin = try folder.array("swin.npy", weights(5 * 5 * heads), [25, heads])
    let kerpleTable = try table(weights(2 * heads), dim: heads)
    let cases: [(name: String, options: [String], bias: any AttentionBias)] = [
      ("none", [], NoBias()),
      ("alibi", [], try DistanceTable(ALiBi(heads: heads, direction: .symmetric))),
      (
        "t5", ["--buckets", "8", "--maximum-distance", "7", "--weights", t5],
        try DistanceTable(
          T5Bias(
            DistanceBuckets(count: 8, maximumDistance: 7, direction: .bidirectional),
            weights: table(weights(8 * heads), dim: heads)))
      ),
      (
        "kerple-logarithmic", ["--weights", kerple],
        try DistanceTable(KERPLE(.logarithmic, parameters: kerpleTable))
      ),
      (
        "kerple-power", ["--weights", kerple],
        try DistanceTable(KERPLE(.power, parameters: kerpleTable))
      ),
      (
        "sandwich", ["--head-dim", "32"], try DistanceTable(Sandwich(heads: heads, dim: 32))
      ),
      (
        "fire", ["--weights", fire],
        try FIRE(heads: heads, parameters: table(weights(count), dim: count))
      ),
      (
        "swin", ["--window", "3x3", "--weights", swin],
        try SwinBias(rows: 3, columns: 3, weights: table(weights(25 * heads), dim: heads))
      ),
    ]
    for (name, options, bias) in cases {
      let (shape, elements) = try positions(
        name,
        ["--context", "9", "--heads", "3", "--direction", "bidirectional"] + options)
      #expect(shape == [heads, context, context])
      let expected = try written(bias, heads: heads, context: context, mask: [])
      #expect(elements == expected, "\(name)")
    }
  }

  @Test func causalBiasesAreMaskedAndOffsetsChangeNothing() throws {
    let (_, first) = try positions("alibi", ["--context", "5", "--heads", "12"])
    let alibi = try DistanceTable(ALiBi(heads: 12))
    let expected = try written(alibi, heads: 12, context: 5, mask: .causal)
    #expect(first == expected)
    #expect(first[1] == -.infinity)
    #expect(first[5] == -0.5)
    let (_, later) = try positions(
      "alibi", ["--context", "5", "--heads", "12", "--position-offset", "100000"])
    #expect(later == first)
  }

  @Test func swinsContextIsItsWindow() throws {
    let (shape, _) = try positions("swin", ["--window", "2x3", "--heads", "2"])
    #expect(shape == [2, 6, 6])
  }

  @Test func theSeedDrawsTheParameters() throws {
    func drawn(_ seed: String) throws -> [Float] {
      try positions("t5", ["--context", "6", "--weight-seed", seed]).elements
    }
    let first = try drawn("1")
    let (again, other) = (try drawn("1"), try drawn("2"))
    #expect(first == again)
    #expect(first != other)
  }

  @Test func biasesOfContentAreTheLibrarys() throws {
    let (batch, heads, queryCount, keyCount, dim) = (2, 2, 3, 5, 4)
    let width = heads * dim
    let q = weights(batch * heads * queryCount * dim)
    let k = weights(batch * heads * keyCount * dim).map { $0 * 0.75 + 0.125 }
    let shape = AttentionShape(batch: batch, heads: heads, queries: queryCount, keys: keyCount)
    let vectors = [
      "--queries", try folder.array("q.npy", q, [batch, heads, queryCount, dim]),
      "--keys", try folder.array("k.npy", k, [batch, heads, keyCount, dim]),
    ]
    func check(
      _ name: String, _ count: Int, _ options: [String], _ bias: any AttentionBias
    ) throws {
      let file = try folder.array("\(name).npy", weights(count), [count])
      let found = try positions(name, vectors + options + ["--weights", file])
      var expected = [Float](repeating: 0, count: batch * heads * queryCount * keyCount)
      var span = expected.mutableSpan
      try Kernels.auto.addBias(
        bias, queryVectors: q.span, keyVectors: k.span, to: &span, shape: shape,
        queries: .sequential(offset: keyCount - queryCount), mask: .causal)
      #expect(found.shape == [batch, heads, queryCount, keyCount])
      #expect(found.elements == expected, "\(name)")
    }
    try check(
      "shaw", 5 * dim, ["--reach", "2"],
      ShawKeys(clip: 2, table: table(weights(5 * dim), dim: dim)))
    try check(
      "content-relative", 3 * dim, ["--reach", "3"],
      ContentRelativeBias(bank: table(weights(3 * dim), dim: dim)))
    let xl = weights(width * (2 + 6))
    try check(
      "transformer-xl", xl.count, ["--model-dim", "6"],
      TransformerXLBias(
        contentBias: table(Array(xl[..<width]), dim: dim),
        positionBias: table(Array(xl[width..<2 * width]), dim: dim),
        projection: table(Array(xl[(2 * width)...]), dim: 6)))
    let both = weights(4 * 4 * width)
    try check(
      "deberta", both.count, ["--reach", "4", "--buckets", "4", "--maximum-distance", "9"],
      DisentangledBias(
        heads: heads, span: 4, buckets: 4, maximumDistance: 9,
        keyTable: table(Array(both[..<(8 * width)]), dim: width),
        queryTable: table(Array(both[(8 * width)...]), dim: width)))
  }

  @Test func copeCountsByItsLogits() throws {
    let (heads, size, dim) = (2, 4, 4)
    let q = weights(heads * size * dim)
    let logits = (0..<heads * size * size).map { Float($0 % 7) - 3 }
    let queries = try folder.array("q.npy", q, [1, heads, size, dim])
    let given = try folder.array("l.npy", logits, [1, heads, size, size])
    let file = try folder.array("cope.npy", weights(3 * dim), [3, dim])
    let found = try positions(
      "cope", ["--queries", queries, "--logits", given, "--weights", file, "--reach", "3"])
    let shape = AttentionShape(heads: heads, queries: size, keys: size)
    var masked = logits
    var span = masked.mutableSpan
    try Kernels.auto.addBias(NoBias(), to: &span, shape: shape, mask: .causal)
    var after = masked
    var afterSpan = after.mutableSpan
    try Kernels.auto.addCoPE(
      CoPE(table: table(weights(3 * dim), dim: dim)), queryVectors: q.span, to: &afterSpan,
      shape: shape)
    #expect(found.shape == [1, heads, size, size])
    for (i, value) in found.elements.enumerated() {
      let isHidden = i % size > i / size % size
      let expected: Float = isHidden ? -.infinity : after[i] - masked[i]
      #expect(value == expected)
    }
  }

  @Test func plotDrawsABias() throws {
    let run = try embedkernel([
      "plot", "alibi", "--context", "12", "--heads", "4", "--plane", "2", "--output",
      folder.path("out.svg"),
    ])
    #expect(run.code == 0, "\(run.errors)")
    let svg = try TextFile.read(folder.path("out.svg"))
    for label in ["alibi, head 2", ">query<", ">key<"] { #expect(svg.contains(label)) }
  }

  @Test func helpListsEverySchemeAndOption() throws {
    let help = try embedkernel(["positions", "--help"]).output
    for word in [
      "none:", "alibi:", "t5:", "kerple-logarithmic:", "kerple-power:", "sandwich:", "fire:",
      "swin:", "shaw:", "content-relative:", "transformer-xl:", "deberta:", "cope:", "--heads",
      "--direction", "--buckets", "--maximum-distance", "--window", "--reach", "--model-dim",
      "--weights", "--weight-seed", "--queries", "--keys", "--logits",
    ] {
      #expect(help.contains(word), "\(word)")
    }
  }

  @Test func faultsSayWhatIsNeeded() throws {
    let q = try folder.array("q.npy", weights(2 * 3 * 4), [1, 2, 3, 4])
    let k = try folder.array("k.npy", weights(2 * 3 * 2), [1, 2, 3, 2])
    let flat = try folder.array("flat.npy", weights(4), [4])
    let ids = try folder.array("ids.npy", [1, 2] as [Int32], [2])
    let faults: [(words: [String], code: Int32, message: String)] = [
      (["shaw"], 2, "shaw depends on the queries: --queries Q.npy is missing"),
      (["cope"], 2, "cope depends on the queries: --queries Q.npy is missing"),
      (["deberta", "--queries", q], 2, "deberta depends on the keys: --keys K.npy is missing"),
      (["shaw", "--queries", q, "--heads", "2"], 2, "--heads does not fit here"),
      (["shaw", "--queries", q, "--logits", q], 2, "--logits does not fit here"),
      (["shaw", "--queries", flat], 1, "flat.npy"),
      (["shaw", "--queries", q, "--keys", k], 1, "expected shape [1, 2, any, 4]"),
      (["cope", "--queries", q, "--logits", q], 1, "expected shape [1, 2, 3, 3]"),
      (["alibi", "--queries", q], 2, "alibi depends on positions alone"),
      (["alibi", "--heads", "0"], 2, "'0' is not an integer of 1 to 4096"),
      (["alibi", "--direction", "both"], 2, "'both' is none of causal, bidirectional"),
      (["t5", "--weights", flat], 1, "expected 256 parameters, found 4 in shape [4]"),
      (["t5", "--weights", ids], 1, "ids.npy"),
      (["t5", "--buckets", "7", "--direction", "bidirectional"], 1, "an even number"),
      (["swin", "--window", "7"], 2, "'7' is not ROWSxCOLUMNS"),
      (["swin", "--window", "2x2", "--context", "5"], 1, "5"),
      (["sandwich", "--head-dim", "5"], 1, "an even number"),
      (["alibbi"], 2, "did you mean 'alibi'"),
    ]
    for (words, code, message) in faults {
      let run = try embedkernel(
        ["positions", words[0], "--output", folder.path("x.npy")] + words.dropFirst())
      #expect(run.code == code, "\(words)")
      #expect(run.errors.contains(message), "\(words): \(run.errors)")
      #expect(run.output.isEmpty)
    }
    let left = try folder.contents
    #expect(!left.contains("x.npy"))
  }
}
