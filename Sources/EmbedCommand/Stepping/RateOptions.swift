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
      guard let total = try arguments[totalSteps] else {
        throw .usage("--schedule \(form.rawValue) needs --\(totalSteps.name)")
      }
      let final = try arguments[finalRate]
      return form == .cosine
        ? .cosine(peak: peak, final: final, warmup: rise, total: total)
        : .linear(peak: peak, final: final, warmup: rise, total: total)
    case .steps:
      guard let every = try arguments[rateEvery] else {
        throw .usage("--schedule steps needs --\(rateEvery.name)")
      }
      return .steps(initial: peak, factor: try arguments[rateFactor], every: every)
    }
  }

  /// The schedule as texts by option: what a saved state remembers of it.
  static func texts(_ rate: LearningRate) -> [String: String] {
    func texts(_ form: Form, _ peak: Double, _ numbers: [(any AnyOption, String)]) -> [String:
      String]
    {
      var result = [schedule.name: form.rawValue, learningRate.name: "\(peak)"]
      for (option, text) in numbers { result[option.name] = text }
      return result
    }
    return switch rate {
    case .constant(let rate): texts(.constant, rate, [])
    case .linearWarmup(let peak, let rise): texts(.linearWarmup, peak, [(warmup, "\(rise)")])
    case .inverseSquareRoot(let peak, let rise):
      texts(.inverseSquareRoot, peak, [(warmup, "\(rise)")])
    case .cosine(let peak, let final, let rise, let total):
      texts(
        .cosine, peak,
        [(warmup, "\(rise)"), (totalSteps, "\(total)"), (finalRate, "\(final)")])
    case .linear(let peak, let final, let rise, let total):
      texts(
        .linear, peak,
        [(warmup, "\(rise)"), (totalSteps, "\(total)"), (finalRate, "\(final)")])
    case .steps(let initial, let factor, let every):
      texts(.steps, initial, [(rateFactor, "\(factor)"), (rateEvery, "\(every)")])
    }
  }
}
