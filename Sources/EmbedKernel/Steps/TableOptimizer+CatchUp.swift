// Bringing rows up to date that an exact-lazy optimiser has left behind: for whoever reads them, for
// another optimiser that steps them, and on request.
//
// V table rows, R rows that are behind, D dim.

internal import CKernels

/// How many rows are brought up to date at a time.
let rowsOfCatchUp = 2_048

extension TableOptimizer {
  /// Brings the rows that a batch reads up to date before they are read, which they are anyway when
  /// they are; where rows are never behind, does nothing.
  ///
  /// - Parameter groups: The batch's ids, as ``step(outputGradient:groups:scale:using:)`` takes them.
  /// - Throws: `tokenOutOfRange` for a row past the table, before anything is written.
  /// - Complexity: O(R·D) for R rows that are behind. Allocates nothing.
  public func prepare(
    _ groups: borrowing RowGroups, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    let view = groups.unsafeView
    try check(view)
    try bringUp(unsafe .listed(view.rowIDs, count: view.count), kernels)
  }

  /// Brings rows up to date, in any order and with repeats; where rows are never behind, does
  /// nothing.
  ///
  /// - Throws: `tokenOutOfRange` for a row outside the table, before anything is written.
  /// - Complexity: O(R·D) for R rows that are behind. Allocates nothing.
  @inlinable
  public func prepare<IDs: ReadableElements & ~Copyable & ~Escapable>(
    rows: borrowing IDs, using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe rows.withElements { (rows) throws(EmbedError) in
      try prepare(unsafe TokenIDs(rows), kernels)
    }
  }

  @usableFromInline
  package func prepare(_ rows: TokenIDs, _ kernels: Kernels) throws(EmbedError) {
    if let error = rows.firstOutside(self.rows, context: max(1, rows.count)) { throw error }
    try bringUp(.ids(rows), kernels)
  }

  /// Brings all rows and their state up to date; where rows are never behind, does nothing.
  ///
  /// Whoever reads rows has that done for the values that he reads, so that this is needed only where
  /// the time it takes is to be spent at a moment of one's choice.
  ///
  /// - Complexity: O(V·D). Allocates nothing.
  public func synchronise(using kernels: Kernels = .auto) throws(EmbedError) {
    try bringUp(.all, kernels, .everything)
  }

  private func bringUp(
    _ rows: ReadRows, _ kernels: Kernels, _ what: CatchUpWork.What = .parameters
  ) throws(EmbedError) {
    guard let ledger else { return }
    _ = try plan(1, kernels)
    ledger.bringUp(rows, kernels, what)
  }

  // MARK: Under the ledger's lock

  /// Brings rows up to date, each as often as it is named once; the same bits in any order and number
  /// of parts. Rows outside the table are not named.
  ///
  /// - Parameter kernels: Where they do not serve, those of `auto` do: the reader will say what is wrong.
  func catchUp(_ rows: ReadRows, _ kernels: Kernels, _ what: CatchUpWork.What) {
    let known = what == .parameters ? currentSteps.parameters : currentSteps.everything
    guard known < stepCount, let stepsTaken else { return }
    let room = pending.count
    var found = 0
    let step = Int32(stepCount)
    func list(_ row: Int) {
      guard row != frozenRow else { return }
      let slot = slots.count > 0 ? unsafe Int(slots.base[row]) : row
      guard slot >= 0 else { return }
      let parameters = unsafe stepsTaken.parameterSteps[slot]
      guard parameters >= 0 else { return }
      guard
        unsafe parameters < step || what == .everything && stepsTaken.momentSteps[slot] < step
      else { return }
      unsafe stepsTaken.parameterSteps[slot] = StepsTaken.marked(Int(parameters))
      unsafe stepsTaken.pending[found] = Int32(row)
      found += 1
      if found == room {
        catchUp(found, stepsTaken, kernels, what)
        found = 0
      }
    }
    if case .all = rows, rowList.count > 0 {
      for slot in 0..<slotCount { list(unsafe Int(rowList.base[slot])) }
    } else {
      rows.forEach(of: self.rows, list)
    }
    if found > 0 { catchUp(found, stepsTaken, kernels, what) }
    guard case .all = rows else { return }
    currentSteps.parameters = stepCount
    if what == .everything { currentSteps.everything = stepCount }
  }

  /// Brings the first `count` listed rows up to date.
  private func catchUp(
    _ count: Int, _ stepsTaken: StepsTaken, _ kernels: Kernels, _ what: CatchUpWork.What
  ) {
    guard let plan = (try? plan(count, kernels)) ?? (try? plan(count, .auto)) else {
      preconditionFailure("`auto` served when the optimiser was made")
    }
    var tile = unsafe makeTile(plan)
    unsafe tile.rows = UnsafePointer(stepsTaken.pending)
    unsafe CatchUpWork(tile: tile, plan: plan, count: count, stepsTaken: stepsTaken, what: what)
      .run()
  }

  // MARK: Other optimisers of the table

  /// Whether both move one row.
  func sharesRows(with other: TableOptimizer) -> Bool {
    guard slots.count > 0, other.slots.count > 0 else { return true }
    for slot in 0..<slotCount where other.slots[Int(rowList[slot])] >= 0 { return true }
    return false
  }

  /// Brings rows that a step is about to write up to date with what other optimisers owe them.
  ///
  /// Two optimisers that catch up the same rows must not both be behind with a row, as the order of
  /// what they owe would be lost.
  func bringUpOthers(_ gradient: Gradient, walks: Bool, _ kernels: Kernels) {
    func bringUp(_ ledgers: [RowLedger]) {
      let isAll =
        walks || catchesUp && ledgers.contains { $0.sharesRows }
      if !isAll, let rows = unsafe gradient.rows {
        ledgers.bringUp(unsafe .listed(rows, count: gradient.count), except: ledger, kernels)
      } else {
        ledgers.bringUp(.all, except: ledger, kernels)
      }
    }
    if let table, table.ledgers.count > (ledger == nil ? 0 : 1) { bringUp(table.ledgers) }
    if let rounded = target.rounded, rounded.ledgers.count > (ledger == nil ? 0 : 1) {
      bringUp(rounded.ledgers)
    }
  }
}
