// `rotate`: queries or keys of a file, rotated by their positions.

internal import EmbedKernel

/// Applies a rotary scheme to a tensor.
enum Rotate: Subcommand {
  static let scheme = Option(
    "scheme", .text("NAME"), "rotary or xpos", default: PositionScheme.rotary.name)
  static let input = Option(
    "input", .array,
    "Queries or keys, float32, bfloat16 or float16 [batch, heads, context, head dim], or by --order",
    needed: "Q.npy")
  static let output = Option(
    "output", .array,
    "Where the rotated ones go, the same shape and element type: 16-bit elements are rotated in "
      + "float32 and rounded once, to nearest even; bfloat16 is written as NumPy's '<V2'",
    needed: "OUT.npy")
  static let order = Option<HeadOrder>(
    "order", .choice([("heads-first", .headsFirst), ("context-first", .contextFirst)]),
    "Whether heads or tokens are the second dimension", default: .headsFirst)
  static let direction = Option<RotaryDirection>(
    "direction", .cases,
    "Backward rotates by the negative angle: from output gradients to input gradients",
    default: .forward)

  static let name = "rotate"
  static let summary = "Queries or keys of a .npy file, rotated by their positions."
  static let usage = ["--input Q.npy --output OUT.npy [OPTIONS]"]
  static let about = [
    "Rotates each pair of elements (a, b) by the angle position * frequency of the pair: (a * cos - b "
      + "* sin, b * cos + a * sin), times the attention factor where the scaling has one.",
    "Where angles depend on the sequence's length (dynamic, longrope), the length is one more than "
      + "the highest position in the file, for all sequences of it.",
  ]
  static let groups = [
    OptionGroup(
      "Tensor, a file as \(ArrayFile.forms)",
      [scheme, input, order, direction, RotaryOptions.role]),
    OptionGroup("Positions", PlaceOptions.all), RotaryAxesOptions.group, RotaryOptions.group,
    ComputeOptions.group, OptionGroup("Output", [output]),
  ]

  static func run(_ arguments: Arguments) throws {
    let scheme = try PositionScheme.named(arguments[scheme])
    guard let rotation = scheme.rotation else {
      throw CommandError.usage("scheme '\(scheme.name)' is not applied to queries or keys")
    }
    let (source, target) = (try arguments[input], try arguments[output])
    let file = try ArrayFile(source)
    try file.require(rank: 4)
    let call = try RotaryCall(
      arguments, file.shape, try rotation(arguments, file.shape[3]))
    switch file.elementType {
    case .bfloat16: try run(call, file, target, as: BFloat16.self)
    case .float16: try run(call, file, target, as: Half.self)
    default: try run(call, file, target, as: Float.self)
    }
    Report.standardError.line("\(scheme.name): \(file.elementType) \(file.shape), '\(target)'")
  }

  private static func run<Element: TableElement>(
    _ call: RotaryCall, _ file: ArrayFile, _ target: String, as type: Element.Type
  ) throws {
    try file.require(Element.self)
    var tensor = try naming(file.path) { () throws(EmbedError) in
      try AlignedBuffer<Element>(count: file.count)
    }
    try unsafe file.copy(into: tensor.unsafeBuffer)
    var span = tensor.mutableSpan
    try call.rotate(&span)
    try NumPyFile.write(span.span, shape: file.shape, to: target)
  }
}

/// A rotation ready for a tensor of any element type.
struct RotaryCall {
  private let embedding: RotaryEmbedding
  private let shape: RotaryShape
  private let place: PositionIDs
  private let paths: SourcePaths
  /// `[axes, batch, context]`, instead of the place.
  private let coordinates: [Int32]?
  private let direction: RotaryDirection
  private let role: RotaryRole
  private let kernels: Kernels

  init(_ arguments: Arguments, _ sizes: [Int], _ described: RotaryEmbedding) throws {
    let order = try arguments[Rotate.order]
    let isHeadsFirst = order == .headsFirst
    shape = RotaryShape(
      batch: sizes[0], heads: sizes[isHeadsFirst ? 1 : 2], context: sizes[isHeadsFirst ? 2 : 1],
      headDim: sizes[3], order: order)
    embedding = try RotaryAxesOptions.embedding(arguments, described)
    direction = try arguments[Rotate.direction]
    role = try arguments[RotaryOptions.role]
    kernels = try ComputeOptions.kernels(arguments)
    if let path = try arguments[RotaryAxesOptions.coordinates] {
      try arguments.refuse(
        PlaceOptions.all, "and --\(RotaryAxesOptions.coordinates.name) exclude each other")
      guard let axes = embedding.axes else {
        throw CommandError.usage(
          "--\(RotaryAxesOptions.coordinates.name) needs "
            + "--\(RotaryAxesOptions.axes.name), or a configuration with several axes")
      }
      coordinates = try integers(path, shapes: [[axes.count, shape.batch, shape.context]])
      (place, paths) = (.sequential(), SourcePaths(places: path))
    } else {
      coordinates = nil
      let (place, path) = try PlaceOptions.place(
        arguments, batch: shape.batch, context: shape.context)
      (self.place, paths) = (place, SourcePaths(places: path))
    }
  }

  /// Rotates the tensor in place.
  func rotate<Element: TableElement>(_ tensor: inout MutableSpan<Element>) throws {
    try paths.naming { () throws(EmbedError) in
      guard let coordinates else {
        return try embedding.rotate(
          inPlace: &tensor, shape: shape, at: place, direction, as: role, using: kernels)
      }
      let memory = unsafe tensor.withUnsafeMutableBufferPointer { unsafe $0 }
      try unsafe embedding.rotate(
        UnsafeBufferPointer(memory), shape: shape,
        coordinates: coordinates.span.withUnsafeBufferPointer { unsafe $0 }, direction, as: role,
        into: memory, using: kernels)
    }
  }
}
