// Clipping of each step's gradient by its norm.

internal import EmbedKernel

enum ClipOptions {
  static let clip = Option(
    "clip", .atLeastZero("NORM"),
    "Before each step, multiplies the step's gradient by min(1, NORM / (norm + 1e-6)), as torch's "
      + "clip_grad_norm_; the norm, summed in float64, is over all rows of the step's gradient, those "
      + "that do not move included, and an id that is listed more than once counts with its sum",
    otherwise: "no clipping")
  static let norms = Option(
    "norms", .array, "Where each step's norm before clipping goes, float64 [steps]")
  static let clipOrder = Option<NormOrder>(
    "clip-order", .normOrder, "The p of the norm, as torch's norm_type", default: .two
  ).needing(clip, norms)

  static let group = OptionGroup("Clipping", [clip, clipOrder])
}

extension OptionKind where Value == NormOrder {
  static var normOrder: Self {
    Self("P|inf", show: { _ in "2" }) { text throws(OptionFault) in
      if text == "inf" { return .infinity }
      let p = try OptionKind<Double>.number(above: 0).parse(text)
      return p == 1 ? .one : p == 2 ? .two : .power(p)
    }
  }
}

/// How gradients are clipped.
struct Clipping {
  /// The largest norm; nil for any.
  let maximum: Double?
  let order: NormOrder
  /// Whether norms are wanted though nothing is clipped.
  let measures: Bool

  init(_ arguments: Arguments) throws(CommandError) {
    maximum = try arguments[ClipOptions.clip]
    order = try arguments[ClipOptions.clipOrder]
    measures = maximum != nil || arguments.has(ClipOptions.norms)
  }

  /// What a gradient of that norm is to be multiplied by.
  func factor(_ norm: GradientNorm) throws(EmbedError) -> Float {
    guard let maximum else { return 1 }
    return try norm.clipFactor(maximum: maximum)
  }

  /// As texts by option: what a saved state remembers.
  var texts: [String: String] {
    guard let maximum else { return [:] }
    let p =
      switch order {
      case .one: "1.0"
      case .two: "2.0"
      case .power(let p): "\(p)"
      case .infinity: "inf"
      }
    return [ClipOptions.clip.name: "\(maximum)", ClipOptions.clipOrder.name: p]
  }
}
