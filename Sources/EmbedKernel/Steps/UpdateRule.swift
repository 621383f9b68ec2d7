// An optimiser as a value: its name, its numbers, what state it keeps and its C kernel. A new optimiser
// is a C function and a factory of `UpdateRule`, with a line where each is listed.

package import CKernels

/// How an optimiser turns gradients into steps.
///
///     let optimizer = try Optimizer(.adamW(learningRate: .constant(1e-3)), for: layer)
public struct UpdateRule: Sendable {
  /// The optimiser's name, one of `names`.
  public let name: String

  /// The length of each step.
  public let learningRate: LearningRate

  /// What happens to rows that a step gives no gradient.
  public let untouched: UntouchedRows

  package private(set) var state: StateLayout
  let kernel: ek_step
  /// The numbers that steps missed by a row need; nil where rows miss no steps.
  let moments: MomentDecay?
  /// The numbers of a step, from its number and rate.
  package let scalars: @Sendable (_ step: Int, _ rate: Double) -> ek_step_scalars

  init(
    name: String, learningRate: LearningRate, untouched: UntouchedRows, state: StateLayout,
    kernel: ek_step, moments: MomentDecay? = nil,
    scalars: @escaping @Sendable (_ step: Int, _ rate: Double) -> ek_step_scalars
  ) throws(EmbedError) {
    try learningRate.check()
    if untouched == .caughtUp, moments == nil {
      throw .unsupported(
        argument: "untouched rows of \(name)", value: untouched.rawValue,
        expected: "stepped or left; only adamw catches rows up")
    }
    self.name = name
    self.learningRate = learningRate
    self.untouched = untouched
    self.state = state
    self.kernel = kernel
    self.moments = moments
    self.scalars = scalars
  }

  /// The same rule with both moments of Adam kept in bfloat16: 4 bytes of state an element instead of 8.
  ///
  /// Arithmetic stays in Float; what a step writes of a moment is rounded up or down with the
  /// probabilities that keep the mean, so that changes below its last place, as the second moment's
  /// nearly all are, are not lost. The random bits follow from the step, the state's row and the column.
  ///
  /// A rounding's error has mean zero, whatever came before, and is below the distance of its two
  /// neighbours, at most 2^-7 of the moment m: its standard deviation is at most 2^-8 m. Decay by beta
  /// each step, the errors of all steps until t add up to one of mean zero and a variance of at most
  ///
  ///     2^-16 * (m(t)^2 + beta^2 * m(t-1)^2 + beta^4 * m(t-2)^2 + ...)
  ///
  /// and where m is about the same over 1 / (1 - beta) steps to a standard deviation of at most
  /// `2^-8 / sqrt(1 - beta^2)` of it: 0.9% of the first moment at beta1 = 0.9, 8.8% of the second at
  /// beta2 = 0.999, which is 4.4% of a step's length. Rows that are caught up are rounded once for all the
  /// steps that they missed.
  ///
  /// - Throws: `unsupported` for a rule without Adam's moments, and for `.float16`, whose range they
  ///   leave.
  public func storingMoments(as type: ElementType) throws(EmbedError) -> UpdateRule {
    if type == state.moments { return self }
    guard kernel == EK_STEP_ADAM else {
      throw .unsupported(
        argument: "type of the moments of \(name)", value: type.rawValue,
        expected: "none; adam, sparse-adam and adamw have moments")
    }
    guard type != .float16 else {
      throw .unsupported(
        argument: "type of the moments", value: type.rawValue, expected: "f32 or bf16")
    }
    var rule = self
    rule.state.moments = type
    return rule
  }
}

/// What happens to rows that a step gives no gradient.
public enum UntouchedRows: String, CaseIterable, Sendable {
  /// They take the step with a gradient of zero, as with a dense gradient: every row is read and
  /// written at every step.
  case stepped
  /// They, their moments included, stay as they are: the lazy variants.
  case left
  /// They take the same steps as `stepped`, but not before they are next read or touched. Whoever reads
  /// a row of the table, by whatever way, has it brought up to date.
  case caughtUp = "caught-up"
}

/// What an optimiser remembers: the names of its arrays, nil for those it lacks.
package struct StateLayout {
  /// A number for each element, such as the first moment.
  var first: String?
  /// Another.
  var second: String?
  /// A number for each row.
  var row: String?
  /// What those start from; moments start from 0.
  package var start: Float = 0
  /// How the numbers for each element are kept.
  package var moments = ElementType.float32

  /// The bytes of state that an element of the table has.
  var elementBytes: Int { moments.byteCount * ((first == nil ? 0 : 1) + (second == nil ? 0 : 1)) }
}

/// Checks that `value` is in `range`, for an argument of that name.
func check(
  _ argument: String, _ value: Double, in range: ClosedRange<Double>, _ expected: String
) throws(EmbedError) {
  guard range.contains(value) else {
    throw .invalidValue(argument: argument, value: value, expected: expected)
  }
}

/// Checks a weight decay.
func checkDecay(_ value: Double) throws(EmbedError) {
  try check("weight decay", value, in: 0...largest, "a finite number, 0 or more")
}

/// Checks what is added to a square root.
func checkEpsilon(_ value: Double) throws(EmbedError) {
  try check(
    "epsilon", value, in: Double(Float.leastNormalMagnitude)...largest, "a finite number above 0")
}

/// Checks a moment's decay.
func checkBeta(_ argument: String, _ value: Double) throws(EmbedError) {
  try check(argument, value, in: 0...1.0.nextDown, "a number in 0 <= x < 1")
}

private let largest = Double(Float.greatestFiniteMagnitude)
