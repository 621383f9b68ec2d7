// The steps with zero gradient that a row of exact-lazy AdamW has missed, on 16 elements. `MissedSteps`
// says where their scalars come from.

internal import CMicrokernels

/// Brings parameters up to date, not the moments.
///
///     p -= loss * p + sum * first / (sqrt(second) + epsilon)
enum CatchUpArithmetic: StepArithmetic {
  static let kernel: ek_step? = EK_STEP_CATCH_UP
  static let usesFirst = true
  static let usesSecond = true
  static let usesResidual = true

  @inline(__always)
  static func update(_ x: inout StepLanes, _ tile: StepView, _ factor: Float) {
    guard let missed = tile.missed, missed.from != missed.to else { return }
    var sum = missed.sum * x.first / (x.second.squareRoot() + missed.epsilon)
    let needsTerms = (x.second .< missed.floor) .& (x.first .!= 0)
    for lane in 0..<16 where needsTerms[lane] {
      sum[lane] = unsafe exactSum(x.first[lane], x.second[lane], missed, tile.history)
    }
    x.subtract(missed.loss * x.parameter + sum, tile)
  }

  /// The missed terms of one element, one by one.
  private static func exactSum(
    _ first: Float, _ second: Float, _ missed: ek_missed_steps, _ history: ek_step_history
  ) -> Float {
    var (m, v) = (Double(first) * missed.first_lead, Double(second) * missed.second_lead)
    var (weight, sum) = (missed.keep, 0.0)
    var step = missed.from &+ 1
    let last = unsafe min(missed.to, missed.from &+ history.longest)
    while step <= last {
      let at = unsafe Int(step & history.mask)
      unsafe weight /= 1 - history.loss[at]
      unsafe m *= history.first_beta
      unsafe v *= history.second_beta
      unsafe sum += weight * history.size[at] * m / (v.squareRoot() + history.epsilon[at])
      step &+= 1
    }
    return Float(sum)
  }
}

/// Brings parameters and moments up to date.
enum CatchUpAllArithmetic: StepArithmetic {
  static let kernel: ek_step? = EK_STEP_CATCH_UP_ALL
  static let usesFirst = true
  static let usesSecond = true
  static let usesResidual = true

  @inline(__always)
  static func update(_ x: inout StepLanes, _ tile: StepView, _ factor: Float) {
    guard let missed = tile.missed else { return }
    CatchUpArithmetic.update(&x, tile, factor)
    x.first = missed.first_whole * x.first + missed.first_part * x.first
    x.second = missed.second_whole * x.second + missed.second_part * x.second
  }
}

/// Brings parameters up to date, and passes them on to the output.
enum ReadArithmetic: StepArithmetic {
  static let kernel: ek_step? = EK_STEP_READ
  static let usesFirst = true
  static let usesSecond = true
  static let usesResidual = true

  @inline(__always)
  static func update(_ x: inout StepLanes, _ tile: StepView, _ factor: Float) {
    CatchUpArithmetic.update(&x, tile, factor)
  }

  static func run(_ tile: ek_step_tile) { unsafe readRows(tile) }
}
