// What exact-lazy AdamW owes a row that got no gradient for some steps. In such a step k after step s
// the moments only decay, m = b1^(k-s) m_s and v = b2^(k-s) v_s, and
//
//     p -= loss_k p + size_k m / (sqrt(v) + e_k)
//       size_k = rate_k sqrt(1 - b2^k) / (1 - b1^k),  e_k = epsilon sqrt(1 - b2^k)
//
// With r = b1 / sqrt(b2), q = 1 / sqrt(b2) and w_k the decay from step k on, the steps s+1...t sum to
// (m_s / sqrt(v_s)) A(x), where A(x) is the sum of c_k / (1 + x y_k), c_k = w_k size_k r^(k-s),
// y_k = e_k q^(k-s) and x = 1 / sqrt(v_s). So two scalars do for a row, S = sum of c and Y = the
// c-weighted mean of y:
//
//     A(x) = S / (1 + x Y) (1 + d),  |d| <= variance(y) / Y^2 * z^2 / (1 + z)^3,  z = x Y
//
// where z^2 / (1 + z)^3 is at most 4/27. Elements where that bound exceeds `tolerance` are summed
// term by term. The sums of all gaps that end at a step follow from each other in one walk, and terms
// fall by r a step, so after `terms` steps they are over and only the decay of p goes on.

internal import CKernels

internal import CSystem

/// The scalars of steps with zero gradient, for any row, up to the current step.
@safe final class MissedSteps {
  /// The longest sums of terms, where beta1 is close to sqrt(beta2).
  static let mostTerms = 1 << 14
  /// The relative error of a missed update that its two scalars may have.
  private static let tolerance = 1e-7

  /// The last step taken.
  private(set) var step = 0

  /// After so many steps without gradient every row must have been brought up to date.
  let horizon: Int

  private var rates: LearningRate
  private var decay: MomentDecay
  private let terms: Int
  private let mask: Int

  /// By step, at `step & mask`.
  private let sizes: AlignedBuffer<Double>
  private let epsilons: AlignedBuffer<Double>
  private let losses: AlignedBuffer<Double>
  /// The logarithm of what decay has left since step 0.
  private let logKeeps: AlignedBuffer<Double>
  /// The sums of the first `terms` steps after each step.
  private let long: AlignedBuffer<Sums>

  /// By length of the gap before the current step.
  private let gaps: AlignedBuffer<Sums>
  private let firstPowers: AlignedBuffer<Double>
  private let secondPowers: AlignedBuffer<Double>

  /// S, S times Y, and the sum of c y^2, with the decay over the gap.
  private struct Sums: BitwiseCopyable {
    var sum = 0.0
    var epsilon = 0.0
    var square = 0.0
    var keep = 1.0
  }

  /// How many terms it takes until they are less than 1e-12 of the first.
  static func terms(_ ratio: Double) -> Int {
    ratio <= 0 ? 1 : max(1, Int(saturating: (log(1e-12) / log(ratio)).rounded(.up)))
  }

  init(_ rates: LearningRate, _ decay: MomentDecay) throws(EmbedError) {
    self.rates = rates
    self.decay = decay
    terms = Self.terms(decay.ratio)
    var capacity = 1 << 14
    while capacity < 4 * terms { capacity *= 2 }
    mask = capacity - 1
    horizon = capacity / 2
    sizes = try AlignedBuffer(count: capacity)
    epsilons = try AlignedBuffer(count: capacity)
    losses = try AlignedBuffer(count: capacity)
    logKeeps = try AlignedBuffer(count: capacity)
    long = try AlignedBuffer(count: capacity)
    gaps = try AlignedBuffer(count: terms + 1)
    firstPowers = try AlignedBuffer(count: terms + 1)
    secondPowers = try AlignedBuffer(count: terms + 1)
    for n in 0...terms {
      unsafe firstPowers.base[n] = pow(decay.beta1, Double(n))
      unsafe secondPowers.base[n] = pow(decay.beta2, Double(n))
    }
    unsafe gaps.base[0] = Sums()
  }

  /// For the terms that are summed one by one.
  var history: ek_step_history {
    unsafe ek_step_history(
      size: sizes.base, epsilon: epsilons.base, loss: losses.base, mask: Int64(mask),
      longest: Int64(terms), first_beta: decay.beta1, second_beta: decay.beta2)
  }

  /// Takes the numbers of the next step.
  ///
  /// - Complexity: as many additions as a sum has terms, some 260 for Adam's usual betas.
  func advance() {
    record()
    sumGaps()
  }

  /// Starts over, as after `step` steps.
  func restart(at step: Int) {
    self.step = 0
    // The same operations as in the run that was saved, so the same bits.
    while self.step < step {
      record()
      if step - self.step <= horizon { sumGaps() }
    }
  }

  /// Starts over after `step` steps of which no row owes any.
  func begin(at step: Int) { self.step = step }

  /// Whether moments decay as by `decay`, so that steps to come follow on those that were taken.
  func continues(_ decay: MomentDecay) -> Bool {
    (self.decay.beta1, self.decay.beta2, self.decay.epsilon)
      == (decay.beta1, decay.beta2, decay.epsilon)
  }

  /// Takes other rates and another weight decay for the steps to come.
  func take(_ rates: LearningRate, weightDecay: Double) {
    self.rates = rates
    decay.weightDecay = weightDecay
  }

  private func record() {
    step += 1
    let at = step & mask
    let rate = rates.rate(at: step)
    unsafe sizes.base[at] = rate * decay.ratioCorrection(step)
    unsafe epsilons.base[at] = decay.epsilon * decay.secondCorrection(step)
    unsafe losses.base[at] = rate * decay.weightDecay
    unsafe logKeeps.base[at] = logKeeps.base[(step - 1) & mask] + log1p(-rate * decay.weightDecay)
  }

  /// The gap that starts one step earlier has one more term, and all others once more times r.
  private func sumGaps() {
    let ratio = decay.ratio
    let growth = decay.beta2 > 0 ? 1 / decay.beta2.squareRoot() : 0
    let longest = min(terms, step)
    var sums = Sums()
    for gap in 1...longest {
      let at = (step - gap + 1) & mask
      let term = unsafe sums.keep * sizes.base[at]
      let epsilon = unsafe epsilons.base[at]
      sums.sum = ratio * (sums.sum + term)
      sums.epsilon = ratio * growth * (sums.epsilon + term * epsilon)
      sums.square = ratio * growth * growth * (sums.square + term * epsilon * epsilon)
      unsafe sums.keep *= 1 - losses.base[at]
      unsafe gaps.base[gap] = sums
    }
    if longest == terms { unsafe long.base[(step - terms) & mask] = sums }
  }

  /// What a row owes whose parameters are at step `parameters` and whose moments at `moments`, which
  /// are not later.
  func owed(parameters: Int, moments: Int) -> ek_missed_steps {
    var owed = ek_missed_steps()
    owed.from = Int64(parameters)
    owed.to = Int64(step)
    owed.keep = 1
    owed.first_lead = 1
    owed.second_lead = 1
    guard moments < step else { return owed }
    owed.moments_decay = true
    let first = power(firstPowers, decay.beta1, step - moments)
    let second = power(secondPowers, decay.beta2, step - moments)
    owed.first_whole = first < 0.5 ? 0 : 1
    owed.first_part = Float(first < 0.5 ? first : first - 1)
    owed.second_whole = second < 0.5 ? 0 : 1
    owed.second_part = Float(second < 0.5 ? second : second - 1)
    guard parameters < step else { return owed }

    let gap = step - parameters
    var sums: Sums
    if gap <= terms {
      unsafe sums = gaps.base[gap]
      owed.loss = Float(1 - sums.keep)
    } else {
      unsafe sums = long.base[parameters & mask]
      let (now, then) = unsafe (logKeeps.base[step & mask], logKeeps.base[parameters & mask])
      let after = unsafe exp(now - logKeeps.base[(parameters + terms) & mask])
      sums.sum *= after
      sums.epsilon *= after
      sums.square *= after
      sums.keep = exp(now - then)
      owed.loss = Float(-expm1(now - then))
    }
    owed.keep = sums.keep
    if parameters > moments {
      owed.first_lead = power(firstPowers, decay.beta1, parameters - moments)
      owed.second_lead = power(secondPowers, decay.beta2, parameters - moments)
    }
    guard sums.sum > 0 else {
      owed.epsilon = 1
      return owed
    }
    let mean = sums.epsilon / sums.sum
    let variance = max(0, sums.square / sums.sum / (mean * mean) - 1)
    // The kernels see the moments as they are stored.
    let lead = owed.second_lead.squareRoot()
    owed.sum = Float(sums.sum * owed.first_lead / lead)
    owed.epsilon = Float(mean / lead)
    if variance * 4 / 27 > Self.tolerance {
      owed.floor = Float(mean * mean * variance / Self.tolerance / owed.second_lead)
    }
    return owed
  }

  private func power(
    _ powers: borrowing AlignedBuffer<Double>, _ beta: Double, _ count: Int
  ) -> Double {
    unsafe count <= terms ? powers.base[count] : pow(beta, Double(count))
  }
}
