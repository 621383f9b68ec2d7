// An optimiser's arithmetic on 16 elements of a row. The C kernels do the same operations in the same
// order, each rounded on its own, so all backends give the same bits.

internal import CMicrokernels

/// What an optimiser does to the elements of a row.
protocol StepArithmetic: Sendable {
  /// The C kernels of the same arithmetic; nil where there are none.
  static var kernel: ek_step? { get }

  /// The state it reads and writes beside the parameters.
  static var usesFirst: Bool { get }
  static var usesSecond: Bool { get }
  static var usesResidual: Bool { get }

  /// Whether it sums over each row, with `measure`, before it updates the row.
  static var isMeasured: Bool { get }

  /// Updates state and gives terms of the row's two sums.
  static func measure(_ x: inout StepLanes, _ tile: StepView) -> RowSums
  /// Makes a factor for the row of its sums.
  static func settle(_ sums: RowSums, _ rowState: inout Float, _ tile: StepView) -> Float

  /// Steps the elements.
  static func update(_ x: inout StepLanes, _ tile: StepView, _ factor: Float)

  /// Steps the rows of a tile in pure Swift; the extension does it for every optimiser.
  static func run(_ tile: ek_step_tile)
}

extension StepArithmetic {
  static var usesFirst: Bool { false }
  static var usesSecond: Bool { false }
  static var usesResidual: Bool { false }
  static var isMeasured: Bool { false }

  @inline(__always)
  static func measure(_ x: inout StepLanes, _ tile: StepView) -> RowSums { RowSums(.zero, .zero) }

  @inline(__always)
  static func settle(_ sums: RowSums, _ rowState: inout Float, _ tile: StepView) -> Float { 0 }
}

/// Two sums along a row, in 16 lanes.
struct RowSums {
  var first: SIMD16<Float>
  var second: SIMD16<Float>

  @inline(__always)
  init(_ first: SIMD16<Float>, _ second: SIMD16<Float>) {
    self.first = first
    self.second = second
  }
}

extension SIMD16<Float> {
  /// The lanes added as a tree: halves, then quarters, and so on.
  @inline(__always)
  var treeSum: Float {
    let eight = lowHalf + highHalf
    let four = eight.lowHalf + eight.highHalf
    let two = four.lowHalf + four.highHalf
    return two[0] + two[1]
  }
}

/// What a step knows of its row and numbers.
@safe struct StepView {
  let scalars: ek_step_scalars
  let dim: Int
  let hasResidual: Bool
  /// The steps that the row missed.
  let missed: ek_missed_steps?
  let history: ek_step_history
}

/// 16 elements of a row.
struct StepLanes {
  var parameter: SIMD16<Float>
  var first = SIMD16<Float>.zero
  var second = SIMD16<Float>.zero
  var gradient = SIMD16<Float>.zero
  var residual = SIMD16<Int8>.zero

  /// Takes `change` from the parameters, and where there are residuals from both together.
  @inline(__always)
  mutating func subtract(_ change: SIMD16<Float>, _ tile: StepView) {
    guard tile.hasResidual else {
      parameter -= change
      return
    }
    // The unit is 1/64 of the last place, 2^(exponent - 23).
    let unit = Self.floats(exponents(parameter) &- (29 << 23))
    let s = change - SIMD16<Float>(residual) * unit
    let next = parameter - s
    // The error of the difference, exact where |p| >= |s| (Dekker).
    let error = (parameter - next) - s
    let perUnit = Self.floats((283 << 23) &- exponents(next))
    // The sum has the integer in its low bits.
    residual = SIMD16<Int8>(truncatingIfNeeded: Self.bits(error * perUnit + 12_582_912))
    parameter = next
  }

  /// The powers of two in `x`, at least 2^-64, so that the unit is a normal number.
  @inline(__always)
  private func exponents(_ x: SIMD16<Float>) -> SIMD16<UInt32> {
    let e = Self.bits(x) & 0x7F80_0000
    return e.replacing(with: 63 << 23, where: e .< (63 << 23))
  }

  @inline(__always)
  private static func bits(_ x: SIMD16<Float>) -> SIMD16<UInt32> {
    unsafe unsafeBitCast(x, to: SIMD16<UInt32>.self)
  }

  @inline(__always)
  private static func floats(_ x: SIMD16<UInt32>) -> SIMD16<Float> {
    unsafe unsafeBitCast(x, to: SIMD16<Float>.self)
  }
}
