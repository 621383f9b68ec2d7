// The forward pass of tables whose rows may be behind: they are brought up to date on their way to the
// output, which spares reading them again.
//
// B batch, T context, N = B*T tokens, D dim.

internal import CKernels

/// Where rows that are read go.
@safe struct RowReading {
  let output: UnsafeMutablePointer<Float>
  /// The row of the first token's position, or nil.
  let positions: UnsafePointer<Float>?
  let context: Int
  let scale: Float
}

extension TableOptimizer {
  /// output[n, :] = scale * row + positions[n mod T, :] for the tokens of the groups, once the rows are
  /// what `prepare` makes of them.
  ///
  /// Bytes: the touched rows and their residuals read and written, their moments read, the output
  /// written.
  func read(
    _ groups: RowGroupView, _ reading: RowReading, _ kernels: Kernels
  ) throws(EmbedError) {
    guard groups.count > 0, let ledger else { return }
    try reserve(groups.count)
    let plan = try plan(groups.tokenCount, kernels)
    var tile = unsafe makeTile(plan)
    unsafe tile.form = EK_GROUPED
    unsafe tile.rows = groups.rowIDs
    unsafe tile.offsets = groups.offsets
    unsafe tile.members = groups.tokens
    unsafe tile.output = reading.output
    unsafe tile.positions = reading.positions
    unsafe tile.walk.context = reading.context
    unsafe tile.scale = reading.scale
    let address = unsafe UInt(bitPattern: reading.output)
    unsafe tile.streaming = plan.traffic.streaming && dim % 16 == 0 && address % 64 == 0
    var work = unsafe StepWork(
      tile: tile, kernel: EK_STEP_READ, plan: plan, count: groups.count, stepsTaken: stepsTaken)
    work.settles = .parameters
    ledger.withLock { work.run() }
  }
}
