// Checking a call on attention logits and running it. Nothing has been written when this throws.

/// The vectors of queries and keys, or none.
@safe struct AttentionVectors {
  var queries: UnsafeBufferPointer<Float>?
  var keys: UnsafeBufferPointer<Float>?
}

/// Where the gradients of the vectors go, or none.
@safe struct AttentionGradients {
  var queries: UnsafeMutableBufferPointer<Float>?
  var keys: UnsafeMutableBufferPointer<Float>?
}

extension Kernels {
  /// Adds or writes a bias of positions alone.
  @usableFromInline
  func run(
    _ bias: any AttentionBias, _ logits: Elements, _ shape: AttentionShape,
    _ queries: PositionIDs, _ keys: PositionIDs, _ mask: AttentionMask, overwrites: Bool
  ) throws(EmbedError) {
    guard let table = bias.distanceTable else {
      return try bias.run(
        self, logits, shape, queries, keys, mask, AttentionVectors(), overwrites: overwrites)
    }
    try queries.withPlaces(context: shape.queries) { (queryPlaces) throws(EmbedError) in
      try keys.withPlaces(context: shape.keys) { (keyPlaces) throws(EmbedError) in
        if queryPlaces.areConsecutive && keyPlaces.areConsecutive {
          try table.run(
            self, logits, shape, (queries, queryPlaces), (keys, keyPlaces), mask,
            overwrites: overwrites)
        } else {
          try table.run(
            self, logits, shape, queries, keys, mask, AttentionVectors(), overwrites: overwrites)
        }
      }
    }
  }
}

extension AttentionBias {
  func run(
    _ kernels: Kernels, _ logits: Elements, _ shape: AttentionShape,
    _ queries: PositionIDs, _ keys: PositionIDs, _ mask: AttentionMask,
    _ vectors: AttentionVectors, overwrites: Bool, readsKeys: Bool = true
  ) throws(EmbedError) {
    try queries.withPlaces(context: shape.queries) { (queryPlaces) throws(EmbedError) in
      try keys.withPlaces(context: shape.keys) { (keyPlaces) throws(EmbedError) in
        let pass = try pass(
          kernels, logits, shape, (queries, queryPlaces), (keys, keyPlaces), mask, vectors,
          overwrites: overwrites, readsKeys: readsKeys)
        if let pass { Threads.split(pass.blockCount, pass.plan.threads, pass) }
      }
    }
  }

  /// The call, checked; nil where there are no logits.
  fileprivate func pass(
    _ kernels: Kernels, _ logits: Elements, _ shape: AttentionShape,
    _ queries: (ids: PositionIDs, places: Places), _ keys: (ids: PositionIDs, places: Places),
    _ mask: AttentionMask, _ vectors: AttentionVectors, overwrites: Bool, readsKeys: Bool
  ) throws(EmbedError) -> BiasPass? {
    let count = try shape.check()
    try check("logits", logits.count, count, shape.dimensions)
    let dim = headDim ?? 0
    let rows = try elementCount("query vectors", shape.batch, shape.heads, shape.queries)
    let columns = try elementCount("key vectors", shape.batch, shape.heads, shape.keys)
    if dim > 0 {
      try unsafe check(
        "query vectors", vectors.queries?.count ?? 0, elementCount("query vectors", rows, dim),
        [shape.batch, shape.heads, shape.queries, dim])
      if readsKeys {
        try unsafe check(
          "key vectors", vectors.keys?.count ?? 0, elementCount("key vectors", columns, dim),
          [shape.batch, shape.heads, shape.keys, dim])
      }
      let written = unsafe Memory(logits.base, logits.count * logits.type.byteCount)
      if let memory = unsafe vectors.queries,
        written.overlaps(unsafe Memory(memory.baseAddress, memory.count * 4))
      {
        throw .overlappingMemory(argument: "query vectors")
      }
      if let memory = unsafe vectors.keys,
        written.overlaps(unsafe Memory(memory.baseAddress, memory.count * 4))
      {
        throw .overlappingMemory(argument: "key vectors")
      }
    }
    let places = try BiasPlaces(
      heads: heads, positions: positions, name: name, shape, queries.ids, keys.ids,
      queries.places, keys.places)
    let plan = try Plan(
      kernels, outputBytes: count &* logits.type.byteCount, rows: rows, dim: max(1, shape.keys))
    guard count > 0, let base = unsafe logits.base else { return nil }
    try prepare(places.reach)
    return unsafe BiasPass(
      bias: self, shape: shape, queries: queries.places, keys: keys.places, mask: mask,
      reach: places.reach, overwrites: overwrites, logits: UnsafeMutableRawPointer(mutating: base),
      element: logits.type,
      content: BlockContent(
        dim: dim, queries: vectors.queries?.baseAddress, keys: vectors.keys?.baseAddress),
      plan: plan, isFused: distanceTable != nil)
  }

  fileprivate func check(
    _ argument: String, _ actual: Int, _ expected: Int, _ shape: @autoclosure () -> [Int]
  ) throws(EmbedError) {
    guard actual == expected else {
      throw .wrongElementCount(
        argument: argument, expected: expected, shape: shape(), actual: actual)
    }
  }
}

extension TrainedBias {
  func runGradient(
    _ kernels: Kernels, _ logits: Elements, _ shape: AttentionShape,
    _ queries: PositionIDs, _ keys: PositionIDs, _ mask: AttentionMask,
    _ vectors: AttentionVectors, _ gradients: AttentionGradients,
    _ workspace: inout BiasWorkspace, _ parameters: UnsafeMutableBufferPointer<Float>,
    readsKeys: Bool = true
  ) throws(EmbedError) {
    guard parameters.count == parameterCount else {
      throw .wrongElementCount(
        argument: "parameter gradient", expected: parameterCount, shape: [parameterCount],
        actual: parameters.count)
    }
    if let gradient = unsafe gradients.queries {
      let count = unsafe vectors.queries?.count ?? 0
      try check("query gradient", gradient.count, count, [count])
    }
    if let gradient = unsafe gradients.keys {
      let count = unsafe vectors.keys?.count ?? 0
      try check("key gradient", gradient.count, count, [count])
    }
    try queries.withPlaces(context: shape.queries) { (queryPlaces) throws(EmbedError) in
      try keys.withPlaces(context: shape.keys) { (keyPlaces) throws(EmbedError) in
        // Blocks of the backward pass are read alone.
        let pass = try pass(
          kernels, logits, shape, (queries, queryPlaces), (keys, keyPlaces), mask, vectors,
          overwrites: false, readsKeys: readsKeys)
        guard let pass else { return }
        let count = sumCount(pass.reach)
        let sums = try unsafe workspace.zeros(
          elementCount("gradient sums", shape.heads, count))
        let work = unsafe BiasGradientPass(
          bias: self, pass: pass, sums: sums, sumCount: count,
          queryGradient: gradients.queries?.baseAddress,
          keyGradient: gradients.keys?.baseAddress)
        Threads.split(shape.heads, pass.plan.threads, work)
        for head in 0..<shape.heads {
          unsafe reduce(
            UnsafeBufferPointer(start: sums + head * count, count: count), head: head,
            reach: pass.reach, into: parameters)
        }
      }
    }
  }
}

/// Where a call's queries and keys stand, checked.
struct BiasPlaces {
  let reach: BiasReach

  init(
    heads: Int?, positions: Int?, name: @autoclosure () -> String, _ shape: AttentionShape,
    _ queryIDs: PositionIDs, _ keyIDs: PositionIDs, _ queries: Places, _ keys: Places
  ) throws(EmbedError) {
    if let heads, heads != shape.heads {
      throw .invalidSize(
        argument: "heads", value: shape.heads, expected: "\(heads), as the \(name()) bias has")
    }
    let maximum = min(positions ?? .max, Int(Int32.max))
    try Self.check(queryIDs, shape.batch, shape.queries, maximum)
    try Self.check(keyIDs, shape.batch, shape.keys, maximum)
    guard queries.isPacked == keys.isPacked else { throw .unpairedDocuments }
    if queries.areConsecutive && keys.areConsecutive {
      reach = Self.reach(shape, queries, keys)
      return
    }
    guard let q = queries.bounds(batch: shape.batch, context: shape.queries),
      let k = keys.bounds(batch: shape.batch, context: shape.keys)
    else {
      reach = BiasReach(past: 0, future: 0)
      return
    }
    reach = BiasReach(
      past: max(0, q.highest - k.lowest), future: max(0, k.highest - q.lowest))
  }

  /// The reach of sequences of consecutive positions: each against its own keys, however far other
  /// sequences stand from it.
  private static func reach(
    _ shape: AttentionShape, _ queries: Places, _ keys: Places
  ) -> BiasReach {
    var reach = BiasReach(past: 0, future: 0)
    guard shape.queries > 0, shape.keys > 0 else { return reach }
    let areAlike = queries.isSequential && keys.isSequential
    for row in 0..<(areAlike ? min(1, shape.batch) : shape.batch) {
      let delta = keys.first(row) - queries.first(row)
      reach.past = max(reach.past, shape.queries - 1 - delta)
      reach.future = max(reach.future, delta + shape.keys - 1)
    }
    return reach
  }

  private static func check(
    _ ids: PositionIDs, _ batch: Int, _ context: Int, _ maximum: Int
  ) throws(EmbedError) {
    guard try ids.check(batch: batch, context: context, maximum: maximum) else {
      throw ids.overflow(batch: batch, context: context, maximum: maximum)
    }
  }
}
