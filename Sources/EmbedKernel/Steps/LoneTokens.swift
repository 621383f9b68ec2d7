// Backward of both tables and the step of tokens in one pass over the output gradient: it is read in
// the order of positions, each row is added to its position's sum, and a token that alone has its row
// steps the row at once. The other tokens' rows, few where ids are uniform, are read again.
//
// B batch, T context, N = B*T tokens, D dim. Without it the output gradient is read twice.

internal import CKernels

/// Which tokens have their row alone, the groups of the others, and the sums of positions; memory that
/// steps reuse.
struct LoneTokens: ~Copyable {
  private var destinations: AlignedBuffer<Int32>
  private var rows: AlignedBuffer<Int32>
  private var offsets: AlignedBuffer<Int32>
  private var tokens: AlignedBuffer<Int32>
  private var sums: AlignedBuffer<Float>
  private var groups = 0

  init() throws(EmbedError) {
    let destinations = try AlignedBuffer<Int32>(count: 0)
    let rows = try AlignedBuffer<Int32>(count: 0)
    let offsets = try AlignedBuffer<Int32>(count: 1)
    let tokens = try AlignedBuffer<Int32>(count: 0)
    let sums = try AlignedBuffer<Float>(count: 0)
    self.destinations = destinations
    self.rows = rows
    self.offsets = offsets
    self.tokens = tokens
    self.sums = sums
  }

  var memoryBytes: Int {
    4 * (destinations.count + rows.count + offsets.count + tokens.count + sums.count)
  }

  /// Splits a batch's groups. Allocates only for a batch larger than any before.
  mutating func split(
    _ view: RowGroupView, _ walk: ek_walk, dim: Int
  ) throws(EmbedError) {
    let count = walk.batch * walk.context
    if destinations.count < count {
      let destinations = try AlignedBuffer<Int32>(count: count)
      let rows = try AlignedBuffer<Int32>(count: count / 2)
      let offsets = try AlignedBuffer<Int32>(count: count / 2 + 1)
      let tokens = try AlignedBuffer<Int32>(count: count)
      self.destinations = destinations
      self.rows = rows
      self.offsets = offsets
      self.tokens = tokens
    }
    if sums.count < walk.context * dim {
      sums = try AlignedBuffer(count: elementCount("sums of positions", walk.context, dim))
    }
    if view.tokenCount < count {
      unsafe destinations.base.update(repeating: -1, count: count)
    }
    var (found, listed) = (0, 0)
    unsafe view.findLone(destinations: destinations.base) {
      unsafe Int(view.rowIDs[$0])
    } others: {
      group, start, end in
      unsafe rows.base[found] = view.rowIDs[group]
      unsafe offsets.base[found] = Int32(truncatingIfNeeded: listed)
      unsafe (tokens.base + listed).update(from: view.tokens + start, count: end &- start)
      listed &+= end &- start
      found &+= 1
    }
    unsafe offsets.base[found] = Int32(truncatingIfNeeded: listed)
    groups = found
  }

  /// The rows that several tokens share.
  var shared: RowGroupView {
    unsafe RowGroupView(
      count: groups, tokenCount: Int(offsets.base[groups]), rowIDs: rows.base,
      offsets: offsets.base, tokens: tokens.base)
  }

  /// The row that each token has alone, or -1.
  var lone: UnsafePointer<Int32> { unsafe UnsafePointer(destinations.base) }

  /// The sums of the output gradient's rows by position, shape `[context, dim]`.
  var positionSums: UnsafeMutablePointer<Float> { unsafe sums.base }
}

extension ek_walk {
  /// A walk over a batch of rows of `dim` floats whose blocks' sums fit in L1.
  init(batch: Int, context: Int, dim: Int) {
    self.init(
      batch: batch, context: context,
      width: max(1, min(context, blockBytes / (dim * MemoryLayout<Float>.size))))
  }
}

/// Half of a 48 KiB L1; 8 rows of 768 floats.
private let blockBytes = 24 << 10

extension TableOptimizer {
  /// Steps by the output gradient as `step(outputGradient:groups:scale:using:)` does, with the same
  /// bits, and sums it by position.
  func step(
    _ outputGradient: UnsafePointer<Float>, _ passed: borrowing LoneTokens, _ walk: ek_walk,
    _ scale: Float, _ kernels: Kernels
  ) throws(EmbedError) {
    let count = walk.batch * walk.context
    let gradient = unsafe Gradient(
      form: EK_PASSED, values: outputGradient, rows: nil, count: count, scale: scale)
    var work = try begin(gradient, kernels)
    unsafe work.tile.walk = walk
    unsafe work.tile.destinations = passed.lone
    unsafe work.tile.sums = passed.positionSums
    let groups = passed.shared
    var rest = work
    unsafe rest.tile.form = EK_GROUPED
    unsafe rest.tile.rows = groups.rowIDs
    unsafe rest.tile.offsets = groups.offsets
    unsafe rest.tile.members = groups.tokens
    rest.count = groups.count
    try sumHeavyRows(groups, &rest)
    work.run()
    if groups.count > 0 { rest.run() }
    finish()
  }
}
