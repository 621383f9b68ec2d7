// Rotary positions with several coordinates a token: which pair turns by which.

internal import EmbedKernel

enum RotaryAxesOptions {
  static let coordinates = Option(
    "coordinates", "NPY",
    "Coordinates of each token [axes, batch, context], integers, instead of a position.")
  static let axes = ChoiceOption<Form>(
    "axes", Form.allCases.map { ($0.rawValue, $0) },
    "Which coordinate turns which pair. sections: the first section's pairs by coordinate 0, the "
      + "next by 1, then 2, then 0 again, as Qwen2-VL. interleaved-sections: pair p by coordinate p "
      + "mod 3 while p < 3 * sections[p mod 3], by 0 after that, as Qwen3-VL. axial: --axis-count equal "
      + "stretches of pairs, each with the frequencies of a head of head dim / count, as Qwen2-VL's "
      + "vision part. axial-blocks: the same with pairs within stretches of the head, as Gemma 4's "
      + "vision part (default: one coordinate, or the configuration's).")
  static let sections = Option(
    "sections", "N,N,...",
    "Pairs of each section, for sections and interleaved-sections; they add up to head dim / 2.")
  static let axisCount = Option(
    "axis-count", "N", "The number of coordinates, for axial and axial-blocks.")

  static let group = OptionGroup(
    "Several coordinates a token", [coordinates, axes.option, sections, axisCount])

  enum Form: String, CaseIterable, Sendable {
    case sections
    case interleaved = "interleaved-sections"
    case axial
    case axialBlocks = "axial-blocks"

    var hasSections: Bool { self == .sections || self == .interleaved }
  }

  /// The embedding with the axes that the arguments ask for.
  static func embedding(
    _ arguments: Arguments, _ embedding: RotaryEmbedding
  ) throws -> RotaryEmbedding {
    guard let form = try arguments.choice(axes) else {
      for option in [sections, axisCount] where arguments.has(option) {
        throw CommandError.usage("--\(option.name) needs --\(axes.option.name)")
      }
      return embedding
    }
    // A configuration may say more of a rotation than is told from here.
    guard embedding.axes == nil, !arguments.has(RotaryOptions.config) else {
      throw CommandError.usage(
        "--\(axes.option.name) does not fit here: --config or --scaling says which axes there are")
    }
    let needed = form.hasSections ? sections : axisCount
    let other = form.hasSections ? axisCount : sections
    if arguments.has(other) {
      throw CommandError.usage("--\(other.name) is not for --axes \(form.rawValue)")
    }
    _ = try arguments.needed(needed)
    let counts = try arguments.integers(sections, in: 0...Int(Int32.max)) ?? []
    let count = try arguments.integer(axisCount, in: 1...255) ?? 1
    let chosen: RotaryAxes =
      switch form {
      case .sections: .sections(counts)
      case .interleaved: .interleavedSections(counts)
      case .axial: .axial(count: count)
      case .axialBlocks: .axialBlocks(count: count)
      }
    return try RotaryEmbedding(
      headDim: embedding.headDim, rotaryDim: embedding.rotaryDim, base: embedding.base,
      layout: embedding.layout, scaling: embedding.scaling, axes: chosen, decay: embedding.decay)
  }
}
