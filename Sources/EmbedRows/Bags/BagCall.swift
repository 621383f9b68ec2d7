// One call on bags, checked: everything a backend needs, as the record that all backends read.
//
// B bags, N ids, V rows, D dim.

internal import CKernels
public import EmbedKernel

/// What a call on bags is about: its ids, how they fall into bags, and what is done with them.
@usableFromInline
@safe package struct BagInput {
  package let ids: TokenIDs
  package let weights: UnsafeBufferPointer<Float>?
  package let pool: BagPool
  package let options: BagOptions

  @usableFromInline
  package init(
    _ ids: TokenIDs, _ weights: UnsafeBufferPointer<Float>?, _ pool: BagPool, _ options: BagOptions
  ) {
    self.ids = ids
    unsafe self.weights = weights
    self.pool = pool
    self.options = options
  }
}

/// A checked input, against a table of `rows` rows of `dim` columns.
@safe struct CheckedBags {
  let input: BagInput
  let bags: ek_bags
  /// The ids of the longest bag.
  let longest: Int
  let rows: Int
  let dim: Int
  let outputCount: Int
  private let numberMemory: Memory

  /// Checks every id, offset and weight count; nothing has been written when this throws.
  init(
    _ input: BagInput, _ bags: borrowing Bags, rows: Int, dim: Int, _ kernels: Kernels
  ) throws(EmbedError) {
    let ids = input.ids
    let checked = try bags.check(ids: ids.count)
    self.input = input
    self.bags = checked.bags
    longest = checked.longest
    self.rows = rows
    self.dim = dim
    numberMemory = bags.memory
    outputCount = try elementCount("output", self.bags.count, dim)
    if let weights = unsafe input.weights {
      guard input.pool == .sum else {
        throw .unsupported(
          argument: "weights of a \(input.pool.rawValue)", value: "\(weights.count) weights",
          expected: "none; only a sum is weighted")
      }
      guard weights.count == ids.count else {
        throw .wrongElementCount(
          argument: "weights", expected: ids.count, shape: [ids.count], actual: weights.count)
      }
    }
    if let padding = input.options.paddingID, padding < 0 || padding >= rows {
      throw .invalidSize(
        argument: "padding id", value: padding, expected: "an id of 0...\(rows - 1)")
    }
    if input.pool == .max, ids.count > Int(Int32.max) {
      throw .invalidSize(
        argument: "ids of a maximum", value: ids.count, expected: "at most \(Int32.max)")
    }
    if input.options.unknownIDs == .error, try !IDCheck.passes(ids, rows: rows, kernels) {
      throw firstOutside
    }
  }

  /// The error that names the first id outside the table, its bag and its place there.
  private var firstOutside: EmbedError {
    let id = (0..<input.ids.count).first { input.ids[$0] < 0 || input.ids[$0] >= rows } ?? 0
    let (bag, start) = bags.bag(of: id)
    return .tokenOutOfRange(
      id: Int64(input.ids[id]), batchRow: bag, position: id - start, vocabulary: rows)
  }

  /// Checks an argument of a number for each of bags and columns.
  func check(_ argument: String, count: Int) throws(EmbedError) {
    guard count == outputCount else {
      throw .wrongElementCount(
        argument: argument, expected: outputCount, shape: [bags.count, dim], actual: count)
    }
  }

  /// Checks that what a call writes is apart from what describes the bags.
  func checkApart(_ written: Memory) throws(EmbedError) {
    if written.overlaps(unsafe Memory(input.ids.base, input.ids.bytes)) {
      throw .overlappingMemory(argument: "ids")
    }
    if written.overlaps(numberMemory) { throw .overlappingMemory(argument: "offsets") }
    if let weights = unsafe input.weights,
      written.overlaps(unsafe Memory(weights.baseAddress, weights.count * 4))
    {
      throw .overlappingMemory(argument: "weights")
    }
  }

  /// The row that an id has a gradient of, or -1: padding, and an id that reads zeros, have none.
  @inline(__always)
  func row(_ id: Int) -> Int {
    var row = id
    if row < 0 || row >= rows {
      guard input.options.unknownIDs == .clamp else { return -1 }
      row = max(0, min(row, rows - 1))
    }
    return row == input.options.paddingID ? -1 : row
  }

  /// Whether an id is left out of its bag.
  @inline(__always)
  func isPadding(_ id: Int) -> Bool {
    row(id) == -1 && (input.options.unknownIDs == .clamp || id >= 0 && id < rows)
  }

  /// The record of all bags and columns, without output.
  func tile(_ table: TableRows) -> ek_bag_tile {
    var tile = ek_bag_tile()
    tile.table = table.view
    tile.rows = table.count
    unsafe tile.ids = input.ids.base
    tile.id_bytes = input.ids.isWide ? 8 : 4
    if let weights = unsafe input.weights {
      // Without ids there may be no address, but there are weights.
      unsafe tile.weights = weights.baseAddress
    }
    tile.bags = bags
    tile.last = bags.count
    tile.longest = .max
    tile.columns = dim
    tile.padding = input.options.paddingID.map(Int64.init) ?? .min
    tile.last_id = input.ids.count
    tile.pool =
      switch input.pool {
      case .sum: EK_POOL_SUM
      case .mean: EK_POOL_MEAN
      case .max: EK_POOL_MAX
      }
    tile.is_checked = input.options.unknownIDs == .error
    tile.clamps = input.options.unknownIDs == .clamp
    return tile
  }
}

extension Plan {
  /// The plan of a call that reads a row for each id.
  init(bags: CheckedBags, _ table: TableRows, _ kernels: Kernels) throws(EmbedError) {
    // What is read is what takes the time.
    let bytes = try elementCount("rows of ids", bags.input.ids.count, table.bytesOfRow)
    try self.init(
      kernels, outputBytes: max(bytes, bags.outputCount * 4),
      rows: max(1, bags.input.ids.count), dim: table.dim, byAVX2: false)
  }

  /// How many of a call's ids ahead rows are prefetched.
  ///
  /// Quantised rows go to L1, elements to L2. A table of elements that is in a core's own cache, or nearly,
  /// is read faster without: where each row is read several times, whatever is cached when the call begins.
  func idsAhead(_ table: TableRows, ids: Int) -> Int {
    guard traffic.prefetchRows > 0 else { return 0 }
    let bytes = table.bytesOfRow
    guard table.view.format.rawValue < EK_ROWS_INT8_F32.rawValue else {
      return max(2, min(32, (8 << 10) / bytes))
    }
    let isCached = table.count <= 2 * coreCacheBytes / bytes && ids / 4 >= table.count
    return isCached ? 0 : max(2, min(64, (64 << 10) / bytes))
  }
}

/// Half a MiB where the system does not tell.
private let coreCacheBytes = ek_core_cache_bytes() == 0 ? 512 << 10 : ek_core_cache_bytes()
