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
    let slot = unsafe tile.slot(k)
    if slot >= 0 {
      let rowAt = unsafe RowAddress(tile, k: k, row: tile.row(k), slot: slot)
      let view = unsafe StepView(tile, k)
      var factor: Float = 0
      if isMeasured {
        var sums = RowSums(.zero, .zero)
        rowAt.walk(self, rounds: false) { (x: inout StepLanes) in
          let terms = measure(&x, view)
          sums.first += terms.first
          sums.second += terms.second
        }
        var state = unsafe tile.row_state.map { unsafe $0[slot] } ?? 0
        factor = settle(sums, &state, view)
        unsafe tile.row_state?[slot] = state
      }
      rowAt.walk(self, rounds: true) { (x: inout StepLanes) in update(&x, view, factor) }
    }
    if unsafe tile.form == EK_PASSED { unsafe passOn(tile, tile.place(k)) }
  }
}

/// Adds a token's row to the sum of its position.
private func passOn(_ tile: ek_step_tile, _ place: ek_walk_place) {
  let dim = unsafe tile.dim
  let row = unsafe tile.gradient + place.token &* dim
  let sum = unsafe tile.sums + place.position &* dim
  var i = 0
  while i < dim {
    let n = min(16, dim &- i)
    var value = unsafe load(row, i, n)
    if place.sequence > 0 { unsafe value = load(sum, i, n) + value }
    unsafe store(value, sum, i, n)
    i &+= 16
  }
}

/// Brings the rows of a tile up to date, and passes them on to their tokens' output.
func readRows(_ tile: ek_step_tile) {
  let dim = unsafe tile.dim
  for k in unsafe tile.begin..<tile.end {
    let slot = unsafe tile.slot(k)
    let rowAt = unsafe RowAddress(tile, k: k, row: tile.row(k), slot: slot)
    let view = unsafe StepView(tile, k)
    var i = 0
    while i < dim {
      let n = min(16, dim &- i)
      let row = unsafe tile.table + tile.row(k) &* dim
      var x = unsafe StepLanes(parameter: load(row, i, n))
      if slot >= 0 {
        rowAt.loadState(ReadArithmetic.self, &x, i, n)
        ReadArithmetic.update(&x, view, 0)
        unsafe store(x.parameter, row, i, n)
        if let low = unsafe rowAt.low { unsafe store(x.residual, low, i, n) }
      }
      unsafe x.parameter *= tile.scale
      for j in unsafe Int(tile.offsets[k])..<Int(tile.offsets[k &+ 1]) {
        let token = unsafe Int(tile.members[j])
        var value = x.parameter
        if let positions = unsafe tile.positions {
          unsafe value += load(positions + token % tile.walk.context &* dim, i, n)
        }
        unsafe store(value, tile.output + token &* dim, i, n)
      }
      i &+= 16
    }
  }
}

extension StepView {
  /// What a step knows of the k-th row of a tile.
  @inline(__always)
  fileprivate init(_ tile: ek_step_tile, _ k: Int) {
    self = unsafe StepView(
      scalars: tile.scalars, dim: tile.dim, hasResidual: tile.residual != nil,
      missed: tile.missed.map { unsafe $0[k] }, history: tile.history)
  }
}

/// Where a row's arrays stand.
@safe private struct RowAddress {
  let tile: ek_step_tile
  let k: Int
  let row: Int
  let dim: Int
  /// In the table of floats and in that of bfloat16; nil where there is none.
  let p: UnsafeMutablePointer<Float>?
  let rounded: UnsafeMutablePointer<UInt16>?
  let a: UnsafeMutablePointer<Float>?
  let b: UnsafeMutablePointer<Float>?
  let low: UnsafeMutablePointer<Int8>?

  @inline(__always)
  init(_ tile: ek_step_tile, k: Int, row: Int, slot: Int) {
    unsafe self.tile = unsafe tile
    self.k = k
    self.row = row
    unsafe dim = tile.dim
    let (start, dim) = unsafe (max(0, slot) &* tile.dim, tile.dim)
    unsafe p = tile.table.map { unsafe $0 + row &* dim }
    unsafe rounded = tile.rounded.map { unsafe $0 + row &* dim }
    unsafe a = tile.first.map { unsafe $0 + start }
    unsafe b = tile.second.map { unsafe $0 + start }
    unsafe low = tile.residual.map { unsafe $0 + start }
  }

  /// Gives `body` 16 elements after 16, and writes back what it made of them: with `rounds`, to the
  /// table of bfloat16 too. Past the row's end lanes are zero.
  @inline(__always)
  func walk<Arithmetic: StepArithmetic>(
    _ arithmetic: Arithmetic.Type, rounds: Bool, _ body: (inout StepLanes) -> Void
  ) {
    var i = 0
    while i < dim {
      let n = min(16, dim &- i)
      var x = StepLanes(parameter: parameters(i, n))
      loadState(arithmetic, &x, i, n)
      x.gradient = gradient(i, n)
      body(&x)
      if let p = unsafe p { unsafe store(x.parameter, p, i, n) }
      if rounds, let rounded = unsafe rounded {
        unsafe store(bfloat16(x.parameter, i, n), rounded, i, n)
      }
      if Arithmetic.usesFirst, let a = unsafe a { unsafe store(x.first, a, i, n) }
      if Arithmetic.usesSecond, let b = unsafe b { unsafe store(x.second, b, i, n) }
      if Arithmetic.usesResidual, let low = unsafe low { unsafe store(x.residual, low, i, n) }
      i &+= 16
    }
  }

  /// The row's state from column `i` on.
  @inline(__always)
  func loadState<Arithmetic: StepArithmetic>(
    _ arithmetic: Arithmetic.Type, _ x: inout StepLanes, _ i: Int, _ n: Int
  ) {
    if Arithmetic.usesFirst, let a = unsafe a { x.first = unsafe load(a, i, n) }
    if Arithmetic.usesSecond, let b = unsafe b { x.second = unsafe load(b, i, n) }
    if Arithmetic.usesResidual, let low = unsafe low { x.residual = unsafe load(low, i, n) }
  }

  @inline(__always)
  private func parameters(_ i: Int, _ n: Int) -> SIMD16<Float> {
    if let p = unsafe p { return unsafe load(p, i, n) }
    guard let rounded = unsafe rounded else { return .zero }
    let words = unsafe SIMD16<UInt32>(truncatingIfNeeded: load(rounded, i, n)) &<< 16
    return unsafe unsafeBitCast(words, to: SIMD16<Float>.self)
  }

  /// The elements as bfloat16, rounded as the tile says.
  @inline(__always)
  private func bfloat16(_ x: SIMD16<Float>, _ i: Int, _ n: Int) -> SIMD16<UInt16> {
    let words = unsafe unsafeBitCast(x, to: SIMD16<UInt32>.self)
    var up = (words &>> 16 & 1) &+ 0x7FFF
    if unsafe tile.rounding == EK_ROUNDED_RANDOMLY { up = noise(row &* dim &+ i, n) }
    let quiet = words &>> 16 | 0x40
    let isNaN = (words & 0x7FFF_FFFF) .> 0x7F80_0000
    return SIMD16(truncatingIfNeeded: ((words &+ up) &>> 16).replacing(with: quiet, where: isNaN))
  }

  /// The random bits of `n` elements from `place` of the table on.
  @inline(__always)
  private func noise(_ place: Int, _ n: Int) -> SIMD16<UInt32> {
    let generator = unsafe Philox4x32(seed: tile.seed)
    var noise = SIMD16<UInt32>.zero
    var lane = 0
    while lane < n {
      let at = place &+ lane
      let words = unsafe generator.block(UInt64(at / 8), stream: tile.stream)
      let end = min(n, lane &+ 8 &- at % 8)
      while lane < end {
        let k = (place &+ lane) % 8
        noise[lane] = words[k / 2] &>> (UInt32(k % 2) * 16) & 0xFFFF
        lane &+= 1
      }
    }
    return noise
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
    case EK_PASSED: return unsafe load(tile.gradient + tile.place(k).token &* dim, i, n)
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
