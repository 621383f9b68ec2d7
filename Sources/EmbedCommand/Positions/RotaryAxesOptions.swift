// Rotary positions with several coordinates a token: which pair turns by which.

internal import EmbedKernel

enum RotaryAxesOptions {
  static let coordinates = Option(
    "coordinates", .array,
    "Coordinates of each token [axes, batch, context], integers, instead of a position")
  static let axes = Option<Form?>(
    "axes", .cases,
    "Which coordinate turns which pair. sections: the first section's pairs by coordinate 0, the "
      + "next by 1, then 2, then 0 again, as Qwen2-VL. interleaved-sections: pair p by coordinate p "
      + "mod 3 while p < 3 * sections[p mod 3], by 0 after that, as Qwen3-VL. axial: --axis-count equal "
      + "stretches of pairs, each with the frequencies of a head of head dim / count, as Qwen2-VL's "
      + "vision part. axial-blocks: the same with pairs within stretches of the head, as Gemma 4's "
      + "vision part", otherwise: "one coordinate, or the configuration's")
  static let sections = Option(
    "sections", .integers(in: 0...Int(Int32.max)),
    "Pairs of each section, for sections and interleaved-sections; they add up to head dim / 2"
  ).needing(axes)
  static let axisCount = Option(
    "axis-count", .integer(in: 1...255), "The number of coordinates, for axial and axial-blocks"
  ).needing(axes)

  static let group = OptionGroup(
    "Several coordinates a token", [coordinates, axes, sections, axisCount])

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
    guard let form = try arguments[axes] else { return embedding }
    // A configuration may say more of a rotation than is told from here.
    guard embedding.axes == nil, !arguments.has(RotaryOptions.config) else {
      throw CommandError.usage(
        "--\(axes.name) does not fit here: --config or --scaling says which axes there are")
    }
    let other: any AnyOption = form.hasSections ? axisCount : sections
    try arguments.refuse([other], "is not for --axes \(form.rawValue)")
    let chosen: RotaryAxes =
      switch form {
      case .sections: .sections(try arguments.needed(sections))
      case .interleaved: .interleavedSections(try arguments.needed(sections))
      case .axial: .axial(count: try arguments.needed(axisCount))
      case .axialBlocks: .axialBlocks(count: try arguments.needed(axisCount))
      }
    return try RotaryEmbedding(
      headDim: embedding.headDim, rotaryDim: embedding.rotaryDim, base: embedding.base,
      layout: embedding.layout, scaling: embedding.scaling, axes: chosen, decay: embedding.decay)
  }
}
