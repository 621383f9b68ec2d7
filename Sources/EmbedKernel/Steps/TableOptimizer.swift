// The optimiser of one table: its rule, its state and its steps.
//
// V table rows, S rows with state, R rows with a gradient, D dim.

internal import CKernels

/// Steps one table by its gradient and keeps the state for it.
///
/// State is allocated in full at the start: what the rule keeps for each element takes as much as the
/// trainable rows themselves, twice that for Adam. Steps allocate only where a gradient lists more
/// rows than any before.
///
/// A value of this class belongs to one thread at a time, as does the table while it steps. Results
/// are bit for bit the same for every backend, instruction set and number of threads.
///
/// With `untouched: .caughtUp` the table knows of the optimiser: whoever reads a row has it brought up
/// to date, and so has another optimiser that steps it. Several optimisers may move rows of one table;
/// where two of them catch up the same rows, each step brings all of the other's up to date. When the
/// optimiser is released it brings all rows up to date.
@safe public final class TableOptimizer {
  /// The table that steps are computed on: the one it moves, or the master rows of a 16-bit table;
  /// nil where such a table is rounded at random.
  public var table: EmbeddingTable<Float>? { target.table }

  /// The 16-bit table it moves; nil where its elements are others, or it moves floats.
  public func rounded<Element: SixteenBitElement>(
    _ element: Element.Type = Element.self
  ) -> EmbeddingTable<Element>? { target.rounded as? EmbeddingTable<Element> }

  /// The type of the 16-bit table it moves; nil where it moves floats.
  public var roundedType: ElementType? { target.rounded?.elements.type }

  /// The number of rows of the table.
  public var rows: Int { target.rows }

  /// The number of elements of a row.
  public var dim: Int { target.dim }

  /// How it turns gradients into steps.
  public internal(set) var rule: UpdateRule

  /// The rows that move.
  public let trainable: TrainableRows

  /// A row that never moves, such as padding's.
  public let frozenRow: Int?

  /// The number of steps taken.
  public internal(set) var stepCount = 0

  /// The rows with state, rising, empty where every row has.
  let rowList: AlignedBuffer<Int32>
  /// The state row of each table row, negative for a frozen row; empty where every row has state.
  let slots: AlignedBuffer<Int32>
  /// The number of rows with state.
  let slotCount: Int

  var state: TableState
  var missedSteps: MissedSteps?

  /// What the tables know of this optimiser, where it leaves rows behind.
  private(set) var ledger: RowLedger?
  /// Up to which step all rows' parameters, and everything of all rows, are known to be up to date.
  var currentSteps = (parameters: 0, everything: 0)

  // Room for a step.
  private(set) var owed: AlignedBuffer<ek_missed_steps>
  private(set) var pending: AlignedBuffer<Int32>
  private var heavyRows: HeavyRows

  let target: StepTarget

  /// Allocates the state of a table's trainable rows, all zero or what the rule starts from.
  ///
  /// - Parameters:
  ///   - trainable: The rows that move; the others have no state.
  ///   - frozenRow: A row that never moves, such as padding's.
  /// - Throws: `invalidSize` for a row outside the table, `sizeOverflow`, `outOfMemory`.
  public convenience init(
    _ rule: UpdateRule, for table: EmbeddingTable<Float>, trainable: TrainableRows = .all,
    frozenRow: Int? = nil
  ) throws(EmbedError) {
    try self.init(rule, StepTarget(table), trainable, frozenRow)
  }

  /// The same for a table of 16-bit elements, of which steps are computed in Float.
  ///
  /// - Parameter updates: How new values get into the table.
  /// - Throws: As above; `invalidSize` for master rows of another shape, `unsupported` for rows that
  ///   are caught up without master rows.
  public convenience init<Element: SixteenBitElement>(
    _ rule: UpdateRule, for table: EmbeddingTable<Element>, updates: SixteenBitUpdates,
    trainable: TrainableRows = .all, frozenRow: Int? = nil
  ) throws(EmbedError) {
    try self.init(rule, StepTarget(table, updates, rule), trainable, frozenRow)
  }

  deinit { ledger?.close() }

  /// Tells the tables that this optimiser leaves rows of theirs behind.
  private func openLedger() throws(EmbedError) {
    guard catchesUp else { return }
    // Reading rows must not fail, so what it needs is made here, and the environment's choices are tried.
    try reserve(min(slotCount, rowsOfCatchUp))
    _ = try plan(1, .auto)
    let others = (table?.ledgers ?? []) + (target.rounded?.ledgers ?? [])
    let ledger = RowLedger(self, sharesRows: others.contains { $0.movesRows(of: self) })
    table?.ledgers.enter(ledger)
    target.rounded?.ledgers.enter(ledger)
    self.ledger = ledger
  }

  /// The same with state in someone else's memory, as it is.
  package convenience init(
    _ rule: UpdateRule, for table: EmbeddingTable<Float>, frozenRow: Int?, state: StateMemory
  ) throws(EmbedError) {
    try self.init(rule, StepTarget(table), .all, frozenRow, state)
  }

  /// The same for a table of 16-bit elements.
  package convenience init<Element: SixteenBitElement>(
    _ rule: UpdateRule, for table: EmbeddingTable<Element>, updates: SixteenBitUpdates,
    frozenRow: Int?, state: StateMemory
  ) throws(EmbedError) {
    try self.init(rule, StepTarget(table, updates, rule), .all, frozenRow, state)
  }

  /// - Parameter opens: Whether the tables are told of an optimiser that leaves rows of theirs behind.
  init(
    _ rule: UpdateRule, _ target: StepTarget, _ trainable: TrainableRows, _ frozenRow: Int?,
    _ memory: StateMemory? = nil, opens: Bool = true
  ) throws(EmbedError) {
    let rows = target.rows
    if let frozenRow, frozenRow < 0 || frozenRow >= rows {
      throw .invalidSize(
        argument: "frozen row", value: frozenRow, expected: "a row of 0...\(rows - 1)")
    }
    guard rows <= Int(Int32.max) else {
      throw .invalidSize(argument: "rows", value: rows, expected: "at most \(Int32.max)")
    }
    let list = try trainable.list(of: rows)
    let slotCount = list?.count ?? rows
    let rowList = try AlignedBuffer<Int32>(count: list?.count ?? 0)
    let slots = try AlignedBuffer<Int32>(count: list == nil ? 0 : rows)
    if let list {
      unsafe slots.unsafeBuffer.update(repeating: -1)
      for (slot, row) in list.enumerated() {
        unsafe rowList.base[slot] = row
        unsafe slots.base[Int(row)] = Int32(slot)
      }
    }
    let state = try TableState(rule, rows: slotCount, dim: target.dim, in: memory)
    var missedSteps: MissedSteps?
    if rule.untouched == .caughtUp, let moments = rule.moments {
      missedSteps = try MissedSteps(rule.learningRate, moments)
    }
    let owed = try AlignedBuffer<ek_missed_steps>(count: 0)
    let pending = try AlignedBuffer<Int32>(count: 0)
    let heavyRows = try HeavyRows()

    self.target = target
    self.rule = rule
    self.trainable = trainable
    self.frozenRow = frozenRow
    self.rowList = rowList
    self.slots = slots
    self.slotCount = slotCount
    self.state = state
    self.missedSteps = missedSteps
    self.owed = owed
    self.pending = pending
    self.heavyRows = heavyRows
    if opens { try openLedger() }
  }

  /// Whether rows may be behind.
  var catchesUp: Bool { missedSteps != nil }

  /// The bytes of state and of room for steps: what training takes beside the table and gradients.
  public var memoryBytes: Int { stateBytes + scratchBytes }

  /// The bytes of state, in proportion to the trainable rows.
  public var stateBytes: Int {
    stateArrays.reduce(4 * (rowList.count + slots.count)) { $0 + $1.byteCount }
  }

  /// The bytes of room for steps, in proportion to the rows that the largest step touched.
  public var scratchBytes: Int {
    4 * pending.count + heavyRows.memoryBytes
      + MemoryLayout<ek_missed_steps>.stride * owed.count
  }

  // MARK: Steps

  /// Where the gradients of a step stand.
  @safe struct Gradient {
    let form: ek_gradient_form
    let values: UnsafePointer<Float>
    /// The rows they belong to, rising; nil for every trainable row.
    let rows: UnsafePointer<Int32>?
    let count: Int
    /// For gradients that are still to be summed.
    var groups: RowGroupView?
    /// Of groups: what multiplies their members first, and whether their number divides the sum.
    var factors: UnsafePointer<Float>?
    var dividesByCount = false
    let scale: Float
  }

  /// Steps the table; the checks have been made.
  func step(_ gradient: Gradient, _ kernels: Kernels) throws(EmbedError) {
    let work = try begin(gradient, kernels)
    if work.walk != nil || gradient.count > 0 { work.run() }
    finish()
  }

  /// The work of a step, which `finish` ends.
  func begin(_ gradient: Gradient, _ kernels: Kernels) throws(EmbedError) -> StepWork {
    guard gradient.scale.isFinite else {
      throw .invalidValue(
        argument: "gradient scale", value: Double(gradient.scale), expected: "a finite number")
    }
    guard stepCount < Int(Int32.max) else {
      throw .invalidSize(argument: "steps", value: stepCount, expected: "below \(Int32.max)")
    }
    let walks = rule.untouched == .stepped && gradient.form != EK_BY_ROW
    bringUpOthers(gradient, walks: walks, kernels)
    let plan = try plan(walks ? slotCount : gradient.count, kernels)
    if let missedSteps {
      try reserve(gradient.count)
      // So that no row falls behind further than the history of rates goes.
      if stepCount > 0, stepCount % missedSteps.horizon == 0 { try synchronise(using: kernels) }
    }

    var tile = unsafe makeTile(plan)
    unsafe tile.form = gradient.form
    unsafe tile.gradient = gradient.values
    unsafe tile.rows = gradient.rows
    unsafe tile.scalars = rule.scalars(stepCount + 1, rule.learningRate.rate(at: stepCount + 1))
    unsafe tile.scalars.gradient_scale = gradient.scale
    var work = unsafe StepWork(
      tile: tile, kernel: rule.kernel, plan: plan, count: gradient.count, stepsTaken: stepsTaken)
    if let groups = gradient.groups {
      unsafe work.tile.offsets = groups.offsets
      unsafe work.tile.members = groups.tokens
      unsafe work.tile.factors = gradient.factors
      unsafe work.tile.divides_by_count = gradient.dividesByCount
      try sumHeavyRows(groups, &work)
    }
    if walks {
      work.walk = unsafe StepWork.Walk(
        rows: rowList.count > 0 ? UnsafePointer(rowList.base) : nil, count: slotCount)
    }
    return work
  }

  /// Counts a step.
  func finish() {
    stepCount += 1
    missedSteps?.advance()
  }

  /// How a call on so many rows runs.
  func plan(_ rows: Int, _ kernels: Kernels) throws(EmbedError) -> Plan {
    // A step is bound by its roots and quotients where its rows are in cache: the widest vectors win.
    // Its rows with their state are seldom there: a few of them are worth the prefetches.
    var kernels = kernels
    var limits = kernels.limits
    limits.avx2Dim = .max
    limits.prefetchBytes = 4 << 10
    kernels.tuning = limits
    return try Plan(kernels, outputBytes: rows * dim * 4, rows: max(1, rows), dim: dim)
  }

  /// The arrays, without rows.
  func makeTile(_ plan: Plan) -> ek_step_tile {
    var tile = unsafe ek_step_tile()
    unsafe target.describe(to: &tile, step: stepCount + 1)
    unsafe state.describe(to: &tile)
    unsafe tile.moment_stream = RandomStream.moments &+ 2 * UInt64(stepCount)
    unsafe tile.slots = slots.count > 0 ? UnsafePointer(slots.base) : nil
    unsafe tile.frozen = Int64(frozenRow ?? -1)
    unsafe tile.dim = dim
    unsafe (tile.prefetch_rows, tile.near) = plan.traffic.ahead(dim * (8 + rule.state.elementBytes))
    return unsafe tile
  }

  /// What rows owe, where they are caught up.
  var stepsTaken: StepsTaken? {
    guard let missedSteps else { return nil }
    return unsafe StepsTaken(
      parameterSteps: state.parameterSteps.base, momentSteps: state.momentSteps.base,
      owed: owed.base,
      pending: pending.base, missedSteps: missedSteps)
  }

  /// Makes room for what `count` listed rows owe.
  func reserve(_ count: Int) throws(EmbedError) {
    guard count > owed.count else { return }
    let room = max(count, min(owed.count + owed.count / 2, rows))
    let owed = try AlignedBuffer<ek_missed_steps>(count: room)
    let pending = try AlignedBuffer<Int32>(count: room)
    self.owed = owed
    self.pending = pending
  }

  // MARK: Heavy rows

  /// Sums the gradients of rows with more tokens than one run has, so that their order is that of
  /// backward, and all threads share in the heaviest.
  func sumHeavyRows(_ groups: RowGroupView, _ work: inout StepWork) throws(EmbedError) {
    try heavyRows.find(in: groups, dim: dim)
    guard heavyRows.count > 0 else { return }
    work.heavy = heavyRows.view
    unsafe HeavySum(tile: work.tile, plan: work.plan, heavy: heavyRows.view).run()
  }
}
