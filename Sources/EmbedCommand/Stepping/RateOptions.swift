// The learning rate of each step: a schedule and its numbers.

internal import EmbedKernel

enum RateOptions {
  static let learningRate = Option(
    "learning-rate", .number, "The rate, or the schedule's highest: `rate` below", default: 1e-3)
  static let schedule = Option<Form>(
    "schedule", .cases,
    "The rate of step k, the first being k = 1. constant: rate. linear-warmup: rate * min(1, k / "
      + "warmup). cosine: the same up to k = warmup, then final + (rate - final) * (1 + cos(pi * (k - "
      + "warmup) / (total - warmup))) / 2, and final from k = total on. linear: the "
      + "same with final + (rate - final) * (total - k) / (total - warmup). inverse-square-root: rate "
      + "* k / warmup up to warmup, then rate * sqrt(max(warmup, 1) / k). steps: rate * factor to the "
      + "power floor((k - 1) / every)", default: .constant)
  static let warmup = Option(
    "warmup", .natural, "Steps over which the rate rises", default: 0)
  static let totalSteps = Option(
    "total-steps", .integer(),
    "The step at which cosine and linear end, more than the warmup. Needed for both")
  static let finalRate = Option(
    "final-rate", .number, "What cosine and linear end at", default: 0)
  static let rateFactor = Option(
    "rate-factor", .number, "The factor of steps, 0 < x <= 1", default: 0.1)
  static let rateEvery = Option(
    "rate-every", .integer(), "After how many steps the factor is taken. Needed for steps")

  static let group = OptionGroup(
    "Learning rate",
    [learningRate, schedule, warmup, totalSteps, finalRate, rateFactor, rateEvery])

  enum Form: String, CaseIterable, Sendable {
    case constant
    case linearWarmup = "linear-warmup"
    case cosine
    case linear
    case inverseSquareRoot = "inverse-square-root"
    case steps

    /// The options that it has beside the rate.
    var options: [any AnyOption] {
      switch self {
      case .constant: []
      case .linearWarmup, .inverseSquareRoot: [warmup]
      case .cosine, .linear: [warmup, totalSteps, finalRate]
      case .steps: [rateFactor, rateEvery]
      }
    }
  }

  /// The schedule that the arguments ask for; options of another are refused.
  static func rate(_ arguments: Arguments) throws(CommandError) -> LearningRate {
    let form = try arguments[schedule]
    let own = form.options.map { $0.name }
    try arguments.refuse(
      group.options.dropFirst(2).filter { !own.contains($0.name) },
      "is not for --schedule \(form.rawValue)")
    let (peak, rise) = (try arguments[learningRate], try arguments[warmup])
    switch form {
    case .constant: return .constant(peak)
    case .linearWarmup: return .linearWarmup(peak: peak, warmup: rise)
    case .inverseSquareRoot: return .inverseSquareRoot(peak: peak, warmup: rise)
    case .cosine, .linear:
      let total = try arguments.needed(totalSteps, by: "--schedule \(form.rawValue)")
      let final = try arguments[finalRate]
      return form == .cosine
        ? .cosine(peak: peak, final: final, warmup: rise, total: total)
        : .linear(peak: peak, final: final, warmup: rise, total: total)
    case .steps:
      return .steps(
        initial: peak, factor: try arguments[rateFactor],
        every: try arguments.needed(rateEvery, by: "--schedule steps"))
    }
  }

  /// The schedule as texts by option: what a saved state remembers of it.
  static func texts(_ rate: LearningRate) -> [String: String] {
    func texts(
      _ form: Form, _ peak: Double, rise: Int? = nil, total: Int? = nil, final: Double? = nil,
      factor: Double? = nil, every: Int? = nil
    ) -> [String: String] {
      let texts: [String: String?] = [
        schedule.name: form.rawValue, learningRate.name: "\(peak)",
        warmup.name: rise.map { "\($0)" }, totalSteps.name: total.map { "\($0)" },
        finalRate.name: final.map { "\($0)" }, rateFactor.name: factor.map { "\($0)" },
        rateEvery.name: every.map { "\($0)" },
      ]
      return texts.compactMapValues { $0 }
    }
    return switch rate {
    case .constant(let rate): texts(.constant, rate)
    case .linearWarmup(let peak, let rise): texts(.linearWarmup, peak, rise: rise)
    case .inverseSquareRoot(let peak, let rise): texts(.inverseSquareRoot, peak, rise: rise)
    case .cosine(let peak, let final, let rise, let total):
      texts(.cosine, peak, rise: rise, total: total, final: final)
    case .linear(let peak, let final, let rise, let total):
      texts(.linear, peak, rise: rise, total: total, final: final)
    case .steps(let initial, let factor, let every):
      texts(.steps, initial, factor: factor, every: every)
    }
  }
}
