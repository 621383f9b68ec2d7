// Optimiser steps of the pure Swift backend: each row of a tile, 16 elements at a time.
//
// Bytes a row: its gradient read, its parameters and state read and written once.

internal import CMicrokernels

extension StepArithmetic {
  /// Steps the rows of a tile.
  @inline(__always)
  static func run(_ tile: ek_step_tile) {
    for k in unsafe tile.begin..<tile.end { unsafe stepRow(k, tile) }
  }

  @inline(__always)
  private static func stepRow(_ k: Int, _ tile: ek_step_tile) {
    let row = unsafe tile.rows.map { unsafe Int($0[k]) } ?? k
    guard unsafe row != tile.frozen else { return }
    let slot = unsafe tile.slots.map { unsafe Int($0[row]) } ?? row
    guard slot >= 0 else { return }
    let view = unsafe StepView(
      scalars: tile.scalars, dim: tile.dim, hasResidual: tile.residual != nil,
      missed: tile.missed.map { unsafe $0[k] }, history: tile.history)
    let rowAt = unsafe RowAddress(tile, k: k, row: row, slot: slot)
    var factor: Float = 0
    if isMeasured {
      var sums = RowSums(.zero, .zero)
      rowAt.walk(self) { (x: inout StepLanes) in
        let terms = measure(&x, view)
        sums.first += terms.first
        sums.second += terms.second
      }
      var state = unsafe tile.row_state.map { unsafe $0[slot] } ?? 0
      factor = settle(sums, &state, view)
      unsafe tile.row_state?[slot] = state
    }
    rowAt.walk(self) { (x: inout StepLanes) in update(&x, view, factor) }
  }
}

/// Where a row's arrays stand.
@safe private struct RowAddress {
  let tile: ek_step_tile
  let k: Int
  let row: Int
  let dim: Int
  let p: UnsafeMutablePointer<Float>
  let a: UnsafeMutablePointer<Float>?
  let b: UnsafeMutablePointer<Float>?
  let low: UnsafeMutablePointer<Int8>?

  @inline(__always)
  init(_ tile: ek_step_tile, k: Int, row: Int, slot: Int) {
    unsafe self.tile = unsafe tile
    self.k = k
    self.row = row
    unsafe dim = tile.dim
    let (start, dim) = unsafe (slot &* tile.dim, tile.dim)
    unsafe p = tile.table + row &* dim
    unsafe a = tile.first.map { unsafe $0 + start }
    unsafe b = tile.second.map { unsafe $0 + start }
    unsafe low = tile.residual.map { unsafe $0 + start }
  }

  /// Gives `body` 16 elements after 16, and writes back what it made of them. Past the row's end
  /// lanes are zero.
  @inline(__always)
  func walk<Arithmetic: StepArithmetic>(
    _ arithmetic: Arithmetic.Type, _ body: (inout StepLanes) -> Void
  ) {
    var i = 0
    while i < dim {
      let n = min(16, dim &- i)
      var x = unsafe StepLanes(parameter: load(p, i, n))
      if Arithmetic.usesFirst, let a = unsafe a { x.first = unsafe load(a, i, n) }
      if Arithmetic.usesSecond, let b = unsafe b { x.second = unsafe load(b, i, n) }
      if Arithmetic.usesResidual, let low = unsafe low { x.residual = unsafe load(low, i, n) }
      x.gradient = gradient(i, n)
      body(&x)
      unsafe store(x.parameter, p, i, n)
      if Arithmetic.usesFirst, let a = unsafe a { unsafe store(x.first, a, i, n) }
      if Arithmetic.usesSecond, let b = unsafe b { unsafe store(x.second, b, i, n) }
      if Arithmetic.usesResidual, let low = unsafe low { unsafe store(x.residual, low, i, n) }
      i &+= 16
    }
  }

  /// The row's gradient from column `i` on.
  @inline(__always)
  private func gradient(_ i: Int, _ n: Int) -> SIMD16<Float> {
    switch unsafe tile.form {
    case EK_BY_INDEX: return unsafe load(tile.gradient + k &* dim, i, n)
    case EK_BY_ROW: return unsafe load(tile.gradient + row &* dim, i, n)
    case EK_GROUPED:
      let (first, last) = unsafe (Int(tile.offsets[k]), Int(tile.offsets[k &+ 1]))
      return unsafe sumOfRows(tile.gradient, tile.members + first, last &- first, dim, i, n)
    default: return .zero
    }
  }
}

/// The sum of the rows' columns `i..<i + n`, added in order.
@inline(__always)
private func sumOfRows(
  _ gradient: UnsafePointer<Float>, _ members: UnsafePointer<Int32>, _ count: Int, _ dim: Int,
  _ i: Int, _ n: Int
) -> SIMD16<Float> {
  var sum = unsafe load(gradient + Int(members[0]) &* dim, i, n)
  var m = 1
  while m < count {
    unsafe sum += load(gradient + Int(members[m]) &* dim, i, n)
    m &+= 1
  }
  return sum
}

/// `n` elements from `row[i]` on, then zeros.
@inline(__always)
private func load<Scalar: SIMDScalar & BitwiseCopyable & Numeric>(
  _ row: UnsafePointer<Scalar>, _ i: Int, _ n: Int
) -> SIMD16<Scalar> {
  if n == 16 { return unsafe UnsafeRawPointer(row + i).loadUnaligned(as: SIMD16<Scalar>.self) }
  var x = SIMD16<Scalar>(repeating: 0)
  for lane in 0..<n { unsafe x[lane] = row[i &+ lane] }
  return x
}

/// The first `n` lanes to `row[i]` on.
@inline(__always)
private func store<Scalar: SIMDScalar & BitwiseCopyable>(
  _ x: SIMD16<Scalar>, _ row: UnsafeMutablePointer<Scalar>, _ i: Int, _ n: Int
) {
  if n == 16 {
    unsafe UnsafeMutableRawPointer(row + i).storeBytes(of: x, as: SIMD16<Scalar>.self)
  } else {
    for lane in 0..<n { unsafe row[i &+ lane] = x[lane] }
  }
}
