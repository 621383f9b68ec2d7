// Sums of gathered rows of the pure Swift backend, left to right: 32 columns at a time, summed in
// registers over all rows and written once. Trees, compensated sums and sums of products are C's.
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
    let isPlain = sum.leaf == ek_row_sum.leftToRight && !sum.compensated
    guard unsafe isPlain && sum.factors == nil else { return NativeKernels.sum(&sum, plan) }
    if unsafe sum.destinations != nil, !sum.accumulate {
      return addRows(sum)
    }
    var column = 0
    while column &+ Columns.most <= sum.width {
      write(addUp(sum, column, Columns.most), sum, column, Columns.most)
      column &+= Columns.most
    }
    let rest = sum.width &- column
    if rest > 0 { write(addUp(sum, column, rest), sum, column, rest) }
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

  @inline(__always)
  private static func write(
    _ total: Columns, _ sum: borrowing ek_row_sum, _ column: Int, _ lanes: Int
  ) {
    let output = unsafe sum.output.unsafelyUnwrapped + column
    unsafe write(total, output, lanes, sum.factor, sum.accumulate)
  }

  /// The rows, left to right; passes each on where the call asks for it.
  @inline(__always)
  private static func addUp(
    _ sum: borrowing ek_row_sum, _ column: Int, _ lanes: Int
  ) -> Columns {
    var total = row(sum, 0, column, lanes)
    pass(sum, 0, column, lanes, total)
    var i = 1
    while i < sum.count {
      let value = row(sum, i, column, lanes)
      pass(sum, i, column, lanes, value)
      total = total + value
      i &+= 1
    }
    return total
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
  static func * (_ a: Columns, _ factor: Float) -> Columns {
    Columns(low: a.low * factor, high: a.high * factor)
  }
}
