// Learning-rate schedules. A rate is a function of the step's number alone, so that steps a row has
// missed can be caught up with the rates of their time, and a saved run goes on with the same rates.

internal import CSystem

/// The length of each step; the first step is number 1.
public enum LearningRate: Hashable, Sendable {
  /// The same at every step.
  case constant(Double)

  /// Rises evenly to `peak` at step `warmup`, and stays there.
  case linearWarmup(peak: Double, warmup: Int)

  /// Rises evenly to `peak` at step `warmup`, then falls along half a cosine to `final` at step
  /// `total`, and stays there (Loshchilov and Hutter, "SGDR", 2017).
  case cosine(peak: Double, final: Double = 0, warmup: Int = 0, total: Int)

  /// Rises evenly to `peak` at step `warmup`, then falls evenly to `final` at step `total`, and stays
  /// there.
  case linear(peak: Double, final: Double = 0, warmup: Int = 0, total: Int)

  /// Rises evenly to `peak` at step `warmup`, then falls with the inverse square root of the step, as
  /// in the Transformer (Vaswani et al., 2017).
  case inverseSquareRoot(peak: Double, warmup: Int)

  /// Starts at `initial` and is multiplied by `factor` after every `every` steps.
  case steps(initial: Double, factor: Double, every: Int)

  /// The rate of step `step`, from 1 on.
  public func rate(at step: Int) -> Double {
    switch self {
    case .constant(let rate): return rate
    case .linearWarmup(let peak, let warmup): return peak * risen(step, warmup)
    case .linear(let peak, let final, let warmup, let total):
      guard step > warmup else { return peak * risen(step, warmup) }
      guard step < total else { return final }
      return final + (peak - final) * (Double(total - step) / Double(total - warmup))
    case .cosine(let peak, let final, let warmup, let total):
      guard step > warmup else { return peak * risen(step, warmup) }
      guard step < total else { return final }
      let share = Double(step - warmup) / Double(total - warmup)
      return final + (peak - final) * 0.5 * (1 + cos(Double.pi * share))
    case .inverseSquareRoot(let peak, let warmup):
      guard step > warmup else { return peak * risen(step, warmup) }
      return peak * (Double(max(warmup, 1)) / Double(step)).squareRoot()
    case .steps(let initial, let factor, let every):
      return initial * pow(factor, Double((step - 1) / every))
    }
  }

  /// The greatest rate of all steps.
  var greatest: Double {
    switch self {
    case .constant(let rate): rate
    case .linearWarmup(let peak, _), .inverseSquareRoot(let peak, _): peak
    case .cosine(let peak, let final, _, _), .linear(let peak, let final, _, _): max(peak, final)
    case .steps(let initial, _, _): initial
    }
  }

  private func risen(_ step: Int, _ warmup: Int) -> Double {
    step >= warmup ? 1 : Double(step) / Double(warmup)
  }

  /// Checks the schedule's numbers.
  func check() throws(EmbedError) {
    switch self {
    case .constant(let rate): try checkRate("learning rate", rate)
    case .linearWarmup(let peak, let warmup), .inverseSquareRoot(let peak, let warmup):
      try checkRate("peak learning rate", peak)
      try checkCount("warmup", warmup, from: 0)
    case .cosine(let peak, let final, let warmup, let total),
      .linear(let peak, let final, let warmup, let total):
      try checkRate("peak learning rate", peak)
      try checkRate("final learning rate", final)
      try checkCount("warmup", warmup, from: 0)
      guard total > warmup else {
        throw .invalidSize(
          argument: "total steps", value: total, expected: "more than the warmup, \(warmup)")
      }
    case .steps(let initial, let factor, let every):
      try checkRate("initial learning rate", initial)
      guard factor > 0, factor <= 1 else {
        throw .invalidValue(
          argument: "learning rate factor", value: factor, expected: "a number in 0 < x <= 1")
      }
      try checkCount("every", every, from: 1)
    }
  }

  private func checkRate(_ argument: String, _ value: Double) throws(EmbedError) {
    guard value >= 0, value <= Double(Float.greatestFiniteMagnitude) else {
      throw .invalidValue(argument: argument, value: value, expected: "a finite number, 0 or more")
    }
  }

  private func checkCount(_ argument: String, _ value: Int, from least: Int) throws(EmbedError) {
    guard value >= least else {
      throw .invalidSize(argument: argument, value: value, expected: "\(least) or more")
    }
  }
}
