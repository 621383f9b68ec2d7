// Running a backward pass: groups of tokens are summed, a run of up to 64 tokens at a time, and the
// runs of heavy rows added up as a tree. What a thread does never changes the order of additions.
//
// With positions, the batch sum reads the output gradient in the order of positions and passes each
// row whose token occurs once straight on to the token gradient; only rows of tokens that occur
// more often are read again.
// N tokens, D dim. Bytes with uniform ids: N*D*4 read, N*D*4 written, and the position rows.

internal import CKernels

/// A call split over threads.
@safe struct BackwardWork<Backend: BackendKernels>: ParallelWork {
  enum Step {
    /// Says for each token which row it is passed on to, if it is the only one of its row.
    case destinations
    /// Sets the rows to zero that no token touched; a part is a range of gaps between groups.
    case clear
    /// Sums runs; a part is a range of grouped tokens, and takes the runs that begin in it.
    case sum
    /// Adds up the runs of heavy rows; a part is a range of blocks of columns.
    case combine
  }

  let call: BackwardCall
  let plan: Plan
  var table: BackwardCall.Table
  var step = Step.sum
  /// Rows that occur once go on to the tokens' gradient from this table's sum.
  var passesOn = false
  /// They have been passed on already.
  var skipsSingles = false

  static func run(_ call: BackwardCall, _ plan: Plan) {
    let fused =
      unsafe call.options.summation == .chunked && call.destinations != nil && call.tokens != nil
    if let positions = call.positions {
      var work = BackwardWork(call: call, plan: plan, table: positions)
      if fused, let tokens = call.tokens {
        var marking = BackwardWork(call: call, plan: plan, table: tokens)
        marking.mark()
      }
      work.passesOn = fused
      work.run()
    }
    if let tokens = call.tokens {
      var work = BackwardWork(call: call, plan: plan, table: tokens)
      work.skipsSingles = fused && call.positions != nil
      work.run()
    }
  }

  private mutating func mark() {
    guard let destinations = unsafe call.destinations else { return }
    if table.groups.tokenCount < call.tokenCount {
      unsafe destinations.update(repeating: -1, count: call.tokenCount)
    }
    split(.destinations, table.groups.count)
  }

  private mutating func run() {
    if table.rowsToClear > 0 { split(.clear, table.groups.count + 1) }
    split(.sum, table.groups.tokenCount)
    if table.heavy.count > 0 { split(.combine, table.heavy.count * columnBlocks) }
  }

  private mutating func split(_ step: Step, _ count: Int) {
    self.step = step
    Threads.split(count, plan.threads, self)
  }

  private var columnBlocks: Int { (call.dim + columnsOfBlock - 1) / columnsOfBlock }

  func run(_ range: Range<Int>) {
    switch step {
    case .destinations: markDestinations(range)
    case .clear: clear(range)
    case .sum: sum(range)
    case .combine: for block in range { combine(block) }
    }
    Backend.finish(plan)
  }

  // MARK: Before the sums

  private func markDestinations(_ range: Range<Int>) {
    guard let destinations = unsafe call.destinations else { return }
    unsafe table.groups.findLone(in: range, destinations: destinations) { row($0) }
  }

  private func clear(_ range: Range<Int>) {
    let groups = table.groups
    for gap in range {
      let start = unsafe gap == 0 ? 0 : Int(groups.rowIDs[gap - 1]) + 1
      let end = unsafe gap == groups.count ? table.rowsToClear : Int(groups.rowIDs[gap])
      unsafe (table.values + start * call.dim)
        .update(repeating: 0, count: (end - start) * call.dim)
    }
  }

  /// The row of `values` that a group's sum belongs to.
  @inline(__always)
  private func row(_ group: Int) -> Int {
    unsafe table.isRowSparse ? group : Int(table.groups.rowIDs[group])
  }

  @inline(__always)
  private func factor(_ count: Int) -> Float {
    table.dividesByCount ? table.factor / Float(count) : table.factor
  }

  // MARK: Sums of runs

  @inline(__always)
  private func sum(_ range: Range<Int>) {
    let groups = table.groups
    var group = groups.group(ofToken: range.lowerBound)
    let last = unsafe firstIndex(groups.offsets, groups.count, notBelow: range.upperBound)
    var heavy = unsafe firstIndex(table.heavy.groups, table.heavy.count, notBelow: group)
    while group < last {
      let nextHeavy =
        unsafe heavy < table.heavy.count ? min(last, Int(table.heavy.groups[heavy])) : last
      let start = unsafe Int(groups.offsets[group])
      if group < nextHeavy {
        // One that begins before the part is another's.
        sumGroups(start < range.lowerBound ? group &+ 1 : group, nextHeavy)
        group = nextHeavy
        continue
      }
      let end = unsafe Int(groups.offsets[group &+ 1])
      let firstRun = unsafe Int(table.heavy.firstRuns[heavy])
      var run = (max(range.lowerBound &- start, 0) &+ rowsOfRun &- 1) / rowsOfRun
      while start &+ run &* rowsOfRun < min(range.upperBound, end) {
        let first = start &+ run &* rowsOfRun
        sumRun(first, min(rowsOfRun, end &- first), partial: firstRun &+ run)
        run &+= 1
      }
      heavy &+= 1
      group &+= 1
    }
  }

  @inline(__always)
  private func rowSum(
    _ start: Int, _ count: Int, _ output: UnsafeMutablePointer<Float>
  ) -> ek_row_sum {
    var sum = unsafe ek_row_sum(
      call.gradientRows, table.groups.tokens + start, count: count, stride: call.dim,
      width: call.dim, to: output)
    sum.index_step = table.indexStep
    unsafe sum.factors = call.factors.map { unsafe $0 + start }
    sum.near = ahead.isNear
    switch call.options.summation {
    case .chunked: break
    case .pairwise: sum.leaf = rowsOfLeaf
    case .compensated: sum.compensated = true
    }
    if passesOn, let tokens = call.tokens {
      unsafe sum.destinations = UnsafePointer(call.destinations)
      unsafe sum.passed = tokens.values
      sum.pass_factor = tokens.factor
      sum.pass_accumulate = tokens.accumulates
      sum.pass_streaming = tokens.streaming
    }
    return sum
  }

  /// How far ahead rows are prefetched: the gradient's, and those that they are added to.
  private var ahead: (rows: Int, isNear: Bool) {
    plan.traffic.ahead((table.accumulates ? 8 : 4) &* call.dim)
  }

  @inline(__always)
  private func sumGroups(_ begin: Int, _ end: Int) {
    guard begin < end else { return }
    var groups = unsafe ek_group_sum(
      sum: rowSum(0, 0, table.values), members: table.groups.tokens, offsets: table.groups.offsets,
      row_ids: table.isRowSparse ? nil : table.groups.rowIDs, begin: begin, end: end,
      ahead: ahead.rows, divides_by_count: table.dividesByCount, skips_lone: skipsSingles)
    groups.sum.factor = table.factor
    groups.sum.accumulate = table.accumulates
    groups.sum.streaming = table.streaming
    Backend.sumGroups(groups, plan)
  }

  @inline(__always)
  private func sumRun(_ start: Int, _ count: Int, partial: Int) {
    var sum = unsafe rowSum(start, count, table.heavy.sums + partial &* call.dim)
    unsafe sum.prefetch(
      ahead.rows, of: table.groups.tokens, from: start, to: table.groups.tokenCount)
    if call.options.summation == .compensated {
      unsafe sum.correction_output = table.heavy.corrections + partial &* call.dim
    }
    Backend.sum(&sum, plan)
  }

  // MARK: Sums of the runs of heavy rows

  private func combine(_ block: Int) {
    let (index, part) = block.quotientAndRemainder(dividingBy: columnBlocks)
    let column = part * columnsOfBlock
    let group = unsafe Int(table.heavy.groups[index])
    let firstRun = unsafe Int(table.heavy.firstRuns[index])
    let runs = unsafe Int(table.heavy.firstRuns[index + 1]) - firstRun
    let count = unsafe Int(table.groups.offsets[group + 1] - table.groups.offsets[group])
    let start = firstRun * call.dim + column
    var sum = unsafe ek_row_sum(
      table.heavy.sums + start, nil, count: runs, stride: call.dim,
      width: min(columnsOfBlock, call.dim - column),
      to: table.values + row(group) * call.dim + column)
    sum.factor = factor(count)
    sum.accumulate = table.accumulates
    if call.options.summation == .compensated {
      sum.compensated = true
      unsafe sum.corrections = UnsafePointer(table.heavy.corrections + start)
    } else {
      sum.leaf = 1
    }
    Backend.sum(&sum, plan)
  }
}

extension ek_row_sum {
  /// output[:] = sum of rows[indices[i], :] for i in 0..<count, left to right; what else is wanted is
  /// set afterwards.
  @inline(__always)
  init(
    _ rows: UnsafePointer<Float>, _ indices: UnsafePointer<Int32>?, count: Int, stride: Int,
    width: Int, to output: UnsafeMutablePointer<Float>
  ) {
    self.init()
    unsafe self.rows = rows
    unsafe self.indices = indices
    self.count = count
    self.stride = stride
    self.width = width
    unsafe self.output = output
    leaf = Self.leftToRight
    factor = 1
    pass_factor = 1
  }

  /// Prefetches for each row, the first of which is `start`, the one some places on in a list.
  mutating func prefetch(
    _ ahead: Int, of indices: UnsafePointer<Int32>, from start: Int, to end: Int
  ) {
    guard ahead > 0, start &+ ahead < end else { return }
    unsafe self.ahead = indices + (start &+ ahead)
    ahead_count = min(count, end &- start &- ahead)
  }

  /// The `leaf` of a sum that is not a tree.
  static var leftToRight: Int { .max }
}

extension RowGroupView {
  /// The group that the grouped token `token` belongs to.
  func group(ofToken token: Int) -> Int {
    max(0, unsafe firstIndex(offsets, count, notBelow: token &+ 1) &- 1)
  }
}

/// The first index of rising numbers whose number is not below `value`.
private func firstIndex(_ numbers: UnsafePointer<Int32>, _ count: Int, notBelow value: Int) -> Int {
  (0..<count).partitionPoint { unsafe Int(numbers[$0]) >= value }
}

/// The leaves of a pairwise sum.
private let rowsOfLeaf = 8
/// The columns that a part of a heavy row's tree takes.
private let columnsOfBlock = 256
