// One step of one table, cut into parts for threads. Rows are disjoint and each row's arithmetic has
// one order, so the bits do not depend on the cut.
//
// R listed rows, V table rows, D dim.

internal import CKernels

/// The step of a table's rows.
@safe struct StepWork: ParallelWork {
  /// The arrays and numbers; `rows` lists the rows with a gradient.
  var tile: ek_step_tile
  let kernel: ek_step
  let plan: Plan
  /// The number of listed rows.
  var count: Int
  /// Listed rows whose gradient was summed beforehand.
  var heavy: HeavyRows.View?
  /// What the listed rows owe, and when they last were up to date; nil where rows owe nothing.
  var stepsTaken: StepsTaken?
  /// What of the listed rows the pass brings up to date.
  var settles = CatchUpWork.What.everything
  /// The rows to walk where those without gradient step too: nil walks the listed rows only.
  var walk: Walk?

  /// All rows that may move.
  @safe struct Walk {
    /// Rising; nil for every row of the table.
    let rows: UnsafePointer<Int32>?
    let count: Int

    @inline(__always)
    subscript(k: Int) -> Int { unsafe rows.map { unsafe Int($0[k]) } ?? k }
  }

  /// Steps all rows.
  func run() {
    if let walk {
      Threads.split(walk.count, plan.threads, self)
    } else if unsafe tile.form == EK_PASSED {
      // Whole blocks of positions, so that one thread has all of a position's sum.
      Threads.split((count + rowsOfBlock - 1) / rowsOfBlock, plan.threads, self)
    } else {
      Threads.split(cost(count), plan.threads, self)
    }
  }

  func run(_ range: Range<Int>) {
    if let walk {
      step(range, walk)
    } else if unsafe tile.form == EK_PASSED {
      step(range.lowerBound * rowsOfBlock..<min(count, range.upperBound * rowsOfBlock))
    } else {
      step(firstRow(range.lowerBound)..<firstRow(range.upperBound))
    }
  }

  /// The tokens of a block of positions.
  private var rowsOfBlock: Int { unsafe tile.walk.batch * tile.walk.width }

  // MARK: Cutting by cost

  /// The cost of the first `k` listed rows: their output gradients and themselves.
  @inline(__always)
  private func cost(_ k: Int) -> Int {
    guard unsafe tile.form == EK_GROUPED else { return k }
    return unsafe Int(tile.offsets[k]) &+ k
  }

  /// The first listed row that starts at `cost` or later.
  private func firstRow(_ cost: Int) -> Int {
    guard unsafe tile.form == EK_GROUPED else { return cost }
    return (0..<count).partitionPoint { self.cost($0) >= cost }
  }

  // MARK: Stepping

  /// Steps listed rows.
  private func step(_ range: Range<Int>) {
    guard !range.isEmpty else { return }
    var tile = unsafe tile
    if let stepsTaken {
      unsafe tile.missed = stepsTaken.missed(range, tile)
      unsafe tile.history = stepsTaken.history
    }
    var (next, at) = (firstHeavy(range.lowerBound), range.lowerBound)
    while at < range.upperBound {
      let heavyRow = heavy.map { next < $0.count ? unsafe Int($0.groups[next]) : .max } ?? .max
      unsafe tile.begin = at
      if at == heavyRow, let heavy {
        var summed = unsafe tile
        unsafe summed.form = EK_BY_INDEX
        unsafe summed.gradient = UnsafePointer(heavy.sums) + (next - at) * tile.dim
        unsafe summed.end = at + 1
        unsafe plan.step(summed, kernel)
        next += 1
      } else {
        unsafe tile.end = min(heavyRow, range.upperBound)
        unsafe plan.step(tile, kernel)
      }
      at = unsafe at == heavyRow ? at + 1 : tile.end
    }
    if let stepsTaken { unsafe stepsTaken.settle(range, tile, settles) }
  }

  /// The first heavy row at `k` or later.
  private func firstHeavy(_ k: Int) -> Int {
    heavy.map { heavy in (0..<heavy.count).partitionPoint { unsafe Int(heavy.groups[$0]) >= k } }
      ?? 0
  }

  /// Steps the rows of a walk, those that are not listed with a gradient of zero.
  private func step(_ range: Range<Int>, _ walk: Walk) {
    var zero = unsafe tile
    unsafe zero.form = EK_ZERO
    unsafe zero.rows = walk.rows
    unsafe zero.begin = range.lowerBound
    var listed = firstListed(walk[range.lowerBound])
    for k in range {
      let row = walk[k]
      while listed < count, listedRow(listed) < row { listed += 1 }
      guard listed < count, listedRow(listed) == row else { continue }
      if unsafe zero.begin < k {
        unsafe zero.end = k
        unsafe plan.step(zero, kernel)
      }
      unsafe zero.begin = k + 1
      step(listed..<listed + 1)
    }
    if unsafe zero.begin < range.upperBound {
      unsafe zero.end = range.upperBound
      unsafe plan.step(zero, kernel)
    }
  }

  @inline(__always)
  private func listedRow(_ k: Int) -> Int { unsafe tile.rows.map { unsafe Int($0[k]) } ?? k }

  private func firstListed(_ row: Int) -> Int {
    (0..<count).partitionPoint { listedRow($0) >= row }
  }
}

/// Steps are C for every backend: they need roots and quotients, which BLAS lacks, and `simd` takes the
/// portable set.
extension Plan {
  /// Steps the rows of a tile.
  func step(_ tile: ek_step_tile, _ kernel: ek_step) {
    unsafe withUnsafePointer(to: tile) { unsafe ek_run_step(kernels, kernel, $0) }
  }
}

/// Sums the gradients of heavy rows, cut by columns, in the order that `Summation.chunked` names.
@safe struct HeavySum: ParallelWork {
  let tile: ek_step_tile
  let plan: Plan
  let heavy: HeavyRows.View

  /// The columns of a part.
  private static let columns = 128
  private var blocks: Int { unsafe (tile.dim + Self.columns - 1) / Self.columns }

  func run() { Threads.split(heavy.count * blocks, plan.threads, self) }

  func run(_ range: Range<Int>) {
    let dim = unsafe tile.dim
    for at in range {
      let (row, block) = at.quotientAndRemainder(dividingBy: blocks)
      let k = unsafe Int(heavy.groups[row])
      let (start, end) = unsafe (Int(tile.offsets[k]), Int(tile.offsets[k + 1]))
      let column = block * Self.columns
      var sum = unsafe ek_row_sum(
        tile.gradient + column, tile.members + start, count: end - start, stride: dim,
        width: min(Self.columns, dim - column), to: heavy.sums + row * dim + column)
      sum.leaf = rowsOfRun
      unsafe sum.prefetch(
        plan.traffic.prefetchRows, of: tile.members, from: start, to: end)
      unsafe sum.factors = tile.factors.map { unsafe $0 + start }
      if unsafe tile.divides_by_count { sum.factor = 1 / Float(end - start) }
      plan.backend.kernels.sum(&sum, plan)
    }
  }
}
