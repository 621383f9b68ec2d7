// Sums of gathered rows of the pure Swift backend: 32 columns at a time, summed in registers over all
// rows and written once.
//
// Bytes: each listed row read once, D*4; the output written once, D*4, and read where it is added to.

internal import CKernels

extension ek_row_sum {
  /// Where row `i` of the sum is.
  @inline(__always)
  func index(_ i: Int) -> Int { unsafe indices.map { unsafe Int($0[i]) } ?? i }

  /// Row `i` of the sum.
  @inline(__always)
  func row(_ i: Int) -> UnsafePointer<Float> { unsafe rows.unsafelyUnwrapped + index(i) &* stride }
}

extension SIMDKernels {
  static func sum(_ sum: inout ek_row_sum, _ plan: Plan) {
    // Rows with a factor each, which bags alone have, are C's.
    if unsafe sum.factors != nil { return NativeKernels.sum(&sum, plan) }
    if unsafe sum.destinations != nil, !sum.accumulate {
      return addRows(sum)
    }
    let isTree = sum.compensated || sum.count > sum.leaf
    var column = 0
    while column &+ Columns.most <= sum.width {
      if isTree {
        sumTree(sum, column, Columns.most)
      } else {
        write(addUp(sum, 0, sum.count, column, Columns.most), sum, column, Columns.most)
      }
      column &+= Columns.most
    }
    let rest = sum.width &- column
    guard rest > 0 else { return }
    if isTree {
      sumTree(sum, column, rest)
    } else {
      write(addUp(sum, 0, sum.count, column, rest), sum, column, rest)
    }
  }

  /// One row at a time added to the output, which stays in cache: the same sums as by columns. Rows of
  /// sequences lie so evenly that columns of several of them would share the cache's sets.
  private static func addRows(_ sum: borrowing ek_row_sum) {
    for i in 0..<sum.count {
      var column = 0
      while column &+ Columns.most <= sum.width {
        addRow(sum, i, column, Columns.most)
        column &+= Columns.most
      }
      if column < sum.width { addRow(sum, i, column, sum.width &- column) }
    }
  }

  @inline(__always)
  private static func addRow(_ sum: borrowing ek_row_sum, _ i: Int, _ column: Int, _ lanes: Int) {
    var value = row(sum, i, column, lanes)
    pass(sum, i, column, lanes, value)
    let output = unsafe sum.output.unsafelyUnwrapped + column
    if i > 0 { value = unsafe Columns(output, lanes) + value }
    if i == sum.count &- 1 { value = value * sum.factor }
    unsafe value.store(output, lanes)
  }

  /// A tree's sum, or a compensated one.
  private static func sumTree(_ sum: borrowing ek_row_sum, _ column: Int, _ lanes: Int) {
    guard sum.compensated else {
      let total = tree(sum, 0, sum.count, sum.leaf, column, lanes)
      return write(total, sum, column, lanes)
    }
    let (value, correction) = compensated(sum, column, lanes)
    if let output = unsafe sum.correction_output {
      unsafe correction.store(output + column, lanes)
      write(value, sum, column, lanes)
    } else {
      write(value + correction, sum, column, lanes)
    }
  }

  @inline(__always)
  private static func write(
    _ total: Columns, _ sum: borrowing ek_row_sum, _ column: Int, _ lanes: Int
  ) {
    let output = unsafe sum.output.unsafelyUnwrapped + column
    unsafe write(total, output, lanes, sum.factor, sum.accumulate)
  }

  /// Rows first..<last, left to right; passes each on where the call asks for it.
  @inline(__always)
  private static func addUp(
    _ sum: borrowing ek_row_sum, _ first: Int, _ last: Int, _ column: Int, _ lanes: Int
  ) -> Columns {
    var total = row(sum, first, column, lanes)
    pass(sum, first, column, lanes, total)
    var i = first &+ 1
    while i < last {
      let value = row(sum, i, column, lanes)
      pass(sum, i, column, lanes, value)
      total = total + value
      i &+= 1
    }
    return total
  }

  /// Leaves of `leaf` rows, added up as a tree of adjacent pairs: the left side of each addition is
  /// the largest power of two of leaves that is short of all.
  private static func tree(
    _ sum: borrowing ek_row_sum, _ first: Int, _ last: Int, _ leaf: Int, _ column: Int, _ lanes: Int
  ) -> Columns {
    guard last &- first > leaf else { return addUp(sum, first, last, column, lanes) }
    let leaves = (last &- first &- 1) / leaf
    let left = leaf << (Int.bitWidth &- 1 &- leaves.leadingZeroBitCount)
    return tree(sum, first, first &+ left, leaf, column, lanes)
      + tree(sum, first &+ left, last, leaf, column, lanes)
  }

  /// Left to right, with the rounding error of every addition (Knuth's TwoSum) summed beside.
  @inline(__always)
  private static func compensated(
    _ sum: borrowing ek_row_sum, _ column: Int, _ lanes: Int
  ) -> (Columns, Columns) {
    var (total, correction) = (Columns(), Columns())
    for i in 0..<sum.count {
      let value = row(sum, i, column, lanes)
      let next = total + value
      let added = next - total
      correction = correction + ((total - (next - added)) + (value - added))
      total = next
      if let corrections = unsafe sum.corrections {
        let at = sum.index(i) &* sum.stride &+ column
        correction = unsafe correction + Columns(corrections + at, lanes)
      }
    }
    return (total, correction)
  }

  @inline(__always)
  private static func row(_ sum: borrowing ek_row_sum, _ i: Int, _ column: Int, _ lanes: Int)
    -> Columns
  {
    unsafe Columns(sum.row(i) + column, lanes)
  }

  @inline(__always)
  private static func pass(
    _ sum: borrowing ek_row_sum, _ i: Int, _ column: Int, _ lanes: Int, _ value: Columns
  ) {
    guard let destinations = unsafe sum.destinations, let passed = unsafe sum.passed else { return }
    let destination = unsafe Int(destinations[sum.index(i)])
    guard destination >= 0 else { return }
    unsafe write(
      value, passed + (destination &* sum.stride &+ column), lanes, sum.pass_factor,
      sum.pass_accumulate)
  }

  /// p[:] = factor * value, or p[:] += factor * value, the product rounded on its own.
  @inline(__always)
  private static func write(
    _ value: Columns, _ p: UnsafeMutablePointer<Float>, _ lanes: Int, _ factor: Float,
    _ accumulates: Bool
  ) {
    let product = value * factor
    unsafe (accumulates ? Columns(p, lanes) + product : product).store(p, lanes)
  }
}

/// Up to 32 columns of a row. Concrete types: in generic code the operators of SIMD types run an
/// element at a time.
private struct Columns {
  static let most = 32
  var low: SIMD16<Float>
  var high: SIMD16<Float>

  @inline(__always)
  init(low: SIMD16<Float> = SIMD16(repeating: 0), high: SIMD16<Float> = SIMD16(repeating: 0)) {
    self.low = low
    self.high = high
  }

  /// The `lanes` floats at `p`, and zeros. Rows start anywhere: nothing is assumed of alignment.
  @inline(__always)
  init(_ p: UnsafePointer<Float>, _ lanes: Int) {
    if lanes == Self.most {
      self.init(
        low: unsafe UnsafeRawPointer(p).loadUnaligned(as: SIMD16<Float>.self),
        high: unsafe UnsafeRawPointer(p + 16).loadUnaligned(as: SIMD16<Float>.self))
    } else {
      self.init()
      for i in 0..<min(lanes, 16) { unsafe low[i] = p[i] }
      for i in 16..<max(lanes, 16) { unsafe high[i &- 16] = p[i] }
    }
  }

  @inline(__always)
  func store(_ p: UnsafeMutablePointer<Float>, _ lanes: Int) {
    if lanes == Self.most {
      unsafe UnsafeMutableRawPointer(p).storeBytes(of: low, as: SIMD16<Float>.self)
      unsafe UnsafeMutableRawPointer(p + 16).storeBytes(of: high, as: SIMD16<Float>.self)
    } else {
      for i in 0..<min(lanes, 16) { unsafe p[i] = low[i] }
      for i in 16..<max(lanes, 16) { unsafe p[i] = high[i &- 16] }
    }
  }

  @inline(__always)
  static func + (_ a: Columns, _ b: Columns) -> Columns {
    Columns(low: a.low + b.low, high: a.high + b.high)
  }

  @inline(__always)
  static func - (_ a: Columns, _ b: Columns) -> Columns {
    Columns(low: a.low - b.low, high: a.high - b.high)
  }

  @inline(__always)
  static func * (_ a: Columns, _ factor: Float) -> Columns {
    Columns(low: a.low * factor, high: a.high * factor)
  }
}
