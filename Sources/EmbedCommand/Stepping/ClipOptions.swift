// Clipping of each step's gradient by its norm.

internal import EmbedKernel

enum ClipOptions {
  static let clip = Option(
    "clip", "NORM",
    "Before each step, multiplies the step's gradient by min(1, NORM / (norm + 1e-6)), as torch's "
      + "clip_grad_norm_; the norm, summed in float64, is over all rows of the step's gradient, those "
      + "that do not move included, and an id that is listed more than once counts with its sum "
      + "(default: no clipping).")
  static let clipOrder = Option(
    "clip-order", "P|inf", "The p of the norm, as torch's norm_type (default 2).")
  static let norms = Option(
    "norms", "NPY", "Where each step's norm before clipping goes, float64 [steps].")

  static let group = OptionGroup("Clipping", [clip, clipOrder])

  /// The p that is asked for.
  static func order(_ arguments: Arguments) throws(CommandError) -> NormOrder {
    guard let text = arguments.string(clipOrder) else { return .two }
    guard arguments.has(clip) || arguments.has(norms) else {
      throw .usage("--\(clipOrder.name) needs --\(clip.name) or --\(norms.name)")
    }
    if text == "inf" { return .infinity }
    guard let p = try arguments.number(clipOrder, above: 0) else { return .two }
    return p == 1 ? .one : p == 2 ? .two : .power(p)
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
    maximum = try arguments.number(ClipOptions.clip)
    if let maximum, maximum < 0 {
      throw .usage("option --\(ClipOptions.clip.name): '\(maximum)' is not 0 or more")
    }
    order = try ClipOptions.order(arguments)
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
