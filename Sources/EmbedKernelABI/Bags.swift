// Bags on the caller's memory: pooled rows, and the gradients of table and weights.
//
// B bags, N ids, V vocabulary, D dim.

public import CEmbedKernel
internal import EmbedKernel
internal import EmbedRows

/// What a call on bags is about, from C.
struct BagArguments {
  let input: BagInput
  let kernels: Kernels
  let gradientScale: Float
  let frequencyScaling: FrequencyScaling
  let summation: Summation
  let writing: GradientWriting

  init(
    _ ids: UnsafeRawPointer?, _ idType: Int32, _ count: Int64,
    _ address: UnsafePointer<ek_bag_options>?
  ) throws {
    let count = try EmbedKernelABI.count(count, "id_count")
    let ids = try unsafe tokenIDs(ids, idType, count, "ids")
    guard unsafe address != nil else {
      input = unsafe BagInput(ids, nil, .sum, BagOptions())
      kernels = try EmbedKernelABI.kernels(0, 0)
      (gradientScale, frequencyScaling, summation, writing) = (1, .none, .chunked, .overwrite)
      return
    }
    let given = try unsafe required(address, "options")
    let weights = try unsafe given.weights.map { unsafe try readable($0, count, "weights") }
    input = try unsafe BagInput(
      ids, weights, choice(given.pool, .sum, .mean, .max, name: "pool"),
      BagOptions(
        paddingID: optionalID(given.padding_id, "padding_id"),
        unknownIDs: unknownIDs(given.unknown_ids)))
    kernels = try unsafe EmbedKernelABI.kernels(given.backend, given.threads)
    gradientScale = unsafe given.gradient_scale
    frequencyScaling = try unsafe choice(given.frequency, .none, .inverse, name: "frequency")
    summation = try unsafe choice(
      given.summation, .chunked, .pairwise, .compensated, name: "summation")
    writing = try unsafe choice(given.writing, .overwrite, .accumulate, name: "writing")
  }

  /// Only a maximum has winners.
  func checkWinners(_ areWanted: Bool) throws {
    guard areWanted, input.pool != .max else { return }
    throw EmbedError.unsupported(
      argument: "winners", value: "of a \(input.pool.rawValue)",
      expected: "NULL; only a maximum has winners")
  }

  /// The gradient of an output of `bags` bags.
  func gradient(
    _ outputGradient: UnsafePointer<Float>?, _ winners: UnsafePointer<Int32>?, bags: Int, dim: Int,
    scale: Float? = nil
  ) throws -> BagGradient {
    let count = try product("output gradient", bags, dim)
    // Of no bags there are winners too, at no address.
    let isGiven = unsafe winners != nil || count == 0 && input.pool == .max
    let won = try unsafe isGiven ? readable(winners, count, "winners") : nil
    return try unsafe BagGradient(
      readable(outputGradient, count, "output_gradient"), won, scale ?? gradientScale,
      frequencyScaling, summation)
  }
}

/// How ids fall into bags, and the number of bags.
@_lifetime(immortal)
func bagsOf(_ address: UnsafePointer<ek_bag_layout>?, count bags: inout Int) throws -> Bags {
  let given = try unsafe required(address, "bags")
  let kind = unsafe given.kind
  let count = try unsafe EmbedKernelABI.count(given.count, "count of bags")
  if kind == Int32(EK_BAGS_RECTANGLE) {
    bags = count
    return unsafe .rectangle(batch: count, bag: Int(given.length))
  }
  let numbers = try unsafe tokenIDs(given.numbers, given.dtype, count, "numbers of bags")
  bags = kind == Int32(EK_BAGS_OFFSETS_WITH_LAST) ? max(0, count - 1) : count
  switch kind {
  case Int32(EK_BAGS_OFFSETS): return Bags(offsets: numbers, last: .omitted)
  case Int32(EK_BAGS_OFFSETS_WITH_LAST): return Bags(offsets: numbers, last: .included)
  case Int32(EK_BAGS_LENGTHS): return Bags(lengths: numbers)
  default:
    throw CallError.option("kind of bags", value: Int(kind), expected: "one of EK_BAGS_...")
  }
}

/// A table of the caller's.
private func rows(
  _ tokens: UnsafeRawPointer?, _ type: Int32, _ vocabulary: Int64, _ dim: Int64
) throws -> TableRows {
  let (vocabulary, dim) = (Int(vocabulary), Int(dim))
  for (name, value) in [("vocabulary", vocabulary), ("dim", dim)] where value < 1 {
    throw EmbedError.invalidSize(argument: name, value: value, expected: "1 or more")
  }
  let elements = try unsafe elements(
    tokens, elementType(type, "table_dtype"), product("tokens", vocabulary, dim), "tokens")
  return TableRows(elements, rows: vocabulary, dim: dim)
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bag(
  _ ids: UnsafeRawPointer?, _ idType: Int32, _ idCount: Int64,
  _ layout: UnsafePointer<ek_bag_layout>?, _ tokens: UnsafeRawPointer?, _ tableType: Int32,
  _ vocabulary: Int64, _ dim: Int64, _ output: UnsafeMutableRawPointer?, _ outputType: Int32,
  _ winners: UnsafeMutablePointer<Int32>?, _ options: UnsafePointer<ek_bag_options>?
) -> Int32 {
  attempt {
    let arguments = try unsafe BagArguments(ids, idType, idCount, options)
    var count = 0
    let bags = try unsafe bagsOf(layout, count: &count)
    let table = try unsafe rows(tokens, tableType, vocabulary, dim)
    let elementCount = try product("output", count, table.dim)
    let output = try unsafe elements(
      UnsafeRawPointer(output), elementType(outputType, "output_dtype"), elementCount, "output")
    let won = try unsafe winners.map { unsafe try writable($0, elementCount, "winners") }
    try unsafe arguments.checkWinners(won != nil)
    try unsafe arguments.kernels.bag(arguments.input, bags, table, output, won)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bag_backward(
  _ outputGradient: UnsafePointer<Float>?, _ ids: UnsafeRawPointer?, _ idType: Int32,
  _ idCount: Int64, _ layout: UnsafePointer<ek_bag_layout>?, _ winners: UnsafePointer<Int32>?,
  _ vocabulary: Int64, _ dim: Int64, _ tokenGradient: UnsafeMutablePointer<Float>?,
  _ options: UnsafePointer<ek_bag_options>?
) -> Int32 {
  attempt {
    let arguments = try unsafe BagArguments(ids, idType, idCount, options)
    var count = 0
    let bags = try unsafe bagsOf(layout, count: &count)
    let (vocabulary, dim) = (Int(vocabulary), Int(dim))
    let gradient = try unsafe arguments.gradient(outputGradient, winners, bags: count, dim: dim)
    let target = try unsafe writable(
      tokenGradient, product("token gradient", vocabulary, dim), "token_gradient")
    let workspace = try KeptWorkspace()
    try unsafe arguments.kernels.bagBackward(
      gradient, arguments.input, bags, vocabulary, dim, .dense(target, arguments.writing),
      &workspace.value.bags)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bag_backward_sparse(
  _ outputGradient: UnsafePointer<Float>?, _ ids: UnsafeRawPointer?, _ idType: Int32,
  _ idCount: Int64, _ layout: UnsafePointer<ek_bag_layout>?, _ winners: UnsafePointer<Int32>?,
  _ vocabulary: Int64, _ dim: Int64, _ rows: UnsafeMutableRawPointer?, _ rowType: Int32,
  _ values: UnsafeMutablePointer<Float>?, _ capacity: Int64, _ listed: UnsafeMutablePointer<Int64>?,
  _ options: UnsafePointer<ek_bag_options>?
) -> Int32 {
  attempt {
    let arguments = try unsafe BagArguments(ids, idType, idCount, options)
    var count = 0
    let bags = try unsafe bagsOf(layout, count: &count)
    let (vocabulary, dim) = (Int(vocabulary), Int(dim))
    let gradient = try unsafe arguments.gradient(outputGradient, winners, bags: count, dim: dim)
    let target = try unsafe SparseTarget(
      rows: rows, rowType, values: values, capacity: capacity, count: listed, dim: dim)
    try unsafe target.checkApart(gradient.output, arguments.input.ids)
    let workspace = try KeptWorkspace()
    try target.fill(rows: vocabulary, workspace.value) { result in
      try arguments.kernels.bagBackward(
        gradient, arguments.input, bags, vocabulary, dim, .rowSparse(&result),
        &workspace.value.bags)
    }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bag_weight_gradient(
  _ outputGradient: UnsafePointer<Float>?, _ ids: UnsafeRawPointer?, _ idType: Int32,
  _ idCount: Int64, _ layout: UnsafePointer<ek_bag_layout>?, _ tokens: UnsafeRawPointer?,
  _ tableType: Int32, _ vocabulary: Int64, _ dim: Int64,
  _ weightGradient: UnsafeMutablePointer<Float>?, _ options: UnsafePointer<ek_bag_options>?
) -> Int32 {
  attempt {
    let arguments = try unsafe BagArguments(ids, idType, idCount, options)
    var count = 0
    let bags = try unsafe bagsOf(layout, count: &count)
    let table = try unsafe rows(tokens, tableType, vocabulary, dim)
    let gradient = try unsafe readable(
      outputGradient, product("output gradient", count, table.dim), "output_gradient")
    let output = try unsafe writable(
      weightGradient, arguments.input.ids.count, "weight_gradient")
    try unsafe arguments.kernels.bagWeightGradient(gradient, arguments.input, bags, table, output)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_optimizer_step_bags(
  _ optimizer: OpaquePointer?, _ outputGradient: UnsafePointer<Float>?, _ ids: UnsafeRawPointer?,
  _ idType: Int32, _ idCount: Int64, _ layout: UnsafePointer<ek_bag_layout>?,
  _ winners: UnsafePointer<Int32>?, _ bagOptions: UnsafePointer<ek_bag_options>?,
  _ options: UnsafePointer<ek_step_options>?
) -> Int32 {
  unsafe step(optimizer, options) { found, scale, kernels in
    let arguments = try unsafe BagArguments(ids, idType, idCount, bagOptions)
    var count = 0
    let bags = try unsafe bagsOf(layout, count: &count)
    let gradient = try unsafe arguments.gradient(
      outputGradient, winners, bags: count, dim: found.optimizer.dim, scale: scale)
    let workspace = try KeptWorkspace()
    try found.optimizer.step(
      gradient, arguments.input, bags, kernels, &workspace.value.bags)
  }
}
