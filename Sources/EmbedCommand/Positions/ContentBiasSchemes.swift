// Attention biases that depend on the vectors of queries and keys, for the command: they need a file
// of those, and give the bias [batch, heads, queries, keys].

internal import EmbedKernel
internal import EmbedSchemes

/// The vectors of a call, and its sizes.
private struct Vectors {
  let shape: AttentionShape
  let dim: Int
  let queries: [Float]
  let keys: [Float]
  let queryPlace: PositionIDs
  let keyPlace: PositionIDs

  /// Reads --queries and --keys; without keys there are as many as queries, and their vectors are 0.
  init(_ arguments: Arguments, _ name: String, needsKeys: Bool) throws {
    guard let path = try arguments[BiasOptions.queries] else {
      throw CommandError.usage("\(name) depends on the queries: --queries Q.npy is missing")
    }
    try arguments.refuse(
      [RotaryOptions.context, BiasOptions.heads, RotaryOptions.headDim],
      "does not fit here: --queries has the sizes")
    let file = try ArrayFile(path)
    try file.require(rank: 4)
    let (sizes, queries) = (file.shape, try file.floats())
    var (count, keys) = (sizes[2], try SystemMemory.array(0 as Float, count: queries.count))
    if let keyPath = try arguments[BiasOptions.keys] {
      let file = try ArrayFile(keyPath)
      try file.require(shapes: [[sizes[0], sizes[1], -1, sizes[3]]], ", as the queries have")
      (count, keys) = (file.shape[2], try file.floats())
    } else if needsKeys {
      throw CommandError.usage("\(name) depends on the keys: --keys K.npy is missing")
    }
    guard sizes.allSatisfy({ $0 > 0 }), count > 0 else {
      throw CommandError.data("'\(path)': expected at least one vector, found \(sizes)")
    }
    shape = AttentionShape(batch: sizes[0], heads: sizes[1], queries: sizes[2], keys: count)
    dim = sizes[3]
    self.queries = queries
    self.keys = keys
    // Fewer queries than keys are the last ones, as in a decoder with a cache.
    let offset = try arguments[RotaryOptions.offset]
    keyPlace = .sequential(offset: offset)
    queryPlace = .sequential(offset: offset + max(0, count - sizes[2]))
  }

  func zeros() throws(EmbedError) -> [Float] {
    try SystemMemory.array(
      0,
      count: elementCount(
        "bias", elementCount("bias", shape.batch, shape.heads), shape.queries, shape.keys))
  }

  func array(_ values: [Float]) -> SchemeArray {
    SchemeArray(
      shape: [shape.batch, shape.heads, shape.queries, shape.keys], values: values)
  }
}

extension PositionScheme {
  private static func content(
    _ name: String, _ summary: String, needsKeys: Bool = false,
    _ make: @escaping @Sendable (Arguments, Vectors) throws -> any AttentionBias
  ) -> PositionScheme {
    PositionScheme(
      name: name,
      summary: "\(summary), of --queries\(needsKeys ? " and --keys" : ""), bias [B, H, Q, K]",
      array: { arguments in
        try arguments.refuse([BiasOptions.logits], "does not fit here: it is for cope")
        let vectors = try Vectors(arguments, name, needsKeys: needsKeys)
        let bias = try make(arguments, vectors)
        var values = try vectors.zeros()
        var span = values.mutableSpan
        try Kernels.auto.addBias(
          bias, queryVectors: vectors.queries.span, keyVectors: vectors.keys.span, to: &span,
          shape: vectors.shape, queries: vectors.queryPlace, keys: vectors.keyPlace,
          mask: BiasOptions.mask(arguments))
        return vectors.array(values)
      })
  }

  /// One line a scheme.
  static let contentBiases: [PositionScheme] = [
    content("shaw", "a vector for each clipped distance times the query") {
      let clip = try $0[BiasOptions.reach]
      return try ShawKeys(
        clip: clip, table: BiasOptions.table($0, rows: 2 * clip + 1, dim: $1.dim))
    },
    content("content-relative", "a mix of profiles over distance, by the query") {
      ContentRelativeBias(bank: try BiasOptions.table($0, rows: $0[BiasOptions.reach], dim: $1.dim))
    },
    content(
      "transformer-xl", "the query and u, v against projected sinusoids", needsKeys: true
    ) {
      let (heads, dim) = ($1.shape.heads, $1.dim)
      let model = try $0[BiasOptions.model] ?? heads * dim
      let all = try BiasOptions.parameters($0, count: heads * dim * (2 + model))
      func part(_ start: Int, _ rows: Int, _ width: Int) throws -> EmbeddingTable<Float> {
        let values = Array(all[start..<start + rows * width])
        return try EmbeddingTable<Float>(rows: rows, dim: width, copying: values.span)
      }
      return try TransformerXLBias(
        contentBias: part(0, heads, dim), positionBias: part(heads * dim, heads, dim),
        projection: part(2 * heads * dim, heads * dim, model))
    },
    content("deberta", "query to position and position to key", needsKeys: true) {
      let (span, width) = (try $0[BiasOptions.reach], $1.shape.heads * $1.dim)
      let all = try BiasOptions.parameters($0, count: 4 * span * width)
      let (first, second) = (Array(all[..<(2 * span * width)]), Array(all[(2 * span * width)...]))
      return try DisentangledBias(
        heads: $1.shape.heads, span: span,
        buckets: $0.integer(BiasOptions.buckets, in: 4...1 << 16),
        maximumDistance: $0[BiasOptions.maximumDistance] ?? 512,
        keyTable: EmbeddingTable<Float>(rows: 2 * span, dim: width, copying: first.span),
        queryTable: EmbeddingTable<Float>(rows: 2 * span, dim: width, copying: second.span))
    },
    PositionScheme(
      name: "cope",
      summary: "positions counted by gates on --logits, of --queries, bias [B, H, Q, K]",
      array: cope),
  ]

  private static func cope(_ arguments: Arguments) throws -> SchemeArray {
    let vectors = try Vectors(arguments, "cope", needsKeys: false)
    let shape = vectors.shape
    var logits = try vectors.zeros()
    if let path = try arguments[BiasOptions.logits] {
      let file = try ArrayFile(path)
      try file.require(shapes: [[shape.batch, shape.heads, shape.queries, shape.keys]])
      logits = try file.floats()
    }
    let mask = try BiasOptions.mask(arguments)
    var span = logits.mutableSpan
    try Kernels.auto.addBias(
      NoBias(), to: &span, shape: shape, queries: vectors.queryPlace, keys: vectors.keyPlace,
      mask: mask)
    let before = logits
    let cope = try CoPE(
      table: BiasOptions.table(arguments, rows: arguments[BiasOptions.reach], dim: vectors.dim))
    var after = logits.mutableSpan
    try Kernels.auto.addCoPE(
      cope, queryVectors: vectors.queries.span, to: &after, shape: shape)
    // The bias alone; masked logits stay minus infinity.
    return vectors.array(zip(logits, before).map { $1.isFinite ? $0 - $1 : $1 })
  }
}
