// The layout of rotary pairs in safetensors files: recorded in the metadata, read back, and changed
// by reordering the rows of query and key projections. No tensor's name or shape tells the layout,
// so that a checkpoint without the record is as good as lost to a reader that guesses wrong.

public import EmbedKernel

extension RotaryLayout {
  /// The layout that the safetensors file at `path` records; nil where it records none.
  ///
  /// - Throws: `ModelError`; `embed` where the record is no layout's name.
  public init?(recordedIn path: String) throws(ModelError) {
    let header = try ModelError.wrapping(safetensors: try SafetensorsHeader(contentsOf: path))
    guard let recorded = try Self.recorded(header) else { return nil }
    self = recorded
  }

  /// Endings of the names of what has a row for each element of a query's or key's head: weights,
  /// biases and norms, as Hugging Face and Meta name them.
  public static let projectionNames =
    ["q_proj", "k_proj", "q_norm", "k_norm", "q_layernorm", "k_layernorm"].flatMap {
      ["\($0).weight", "\($0).bias"]
    } + ["attention.wq.weight", "attention.wk.weight"]

  /// Copies the safetensors file `source` to `path` with its query and key projections in the layout
  /// `target`, and records that layout.
  ///
  /// Every other tensor and all metadata are copied as they are. Elements may be of any type of whole
  /// bytes without scales in a tensor of their own. Projections of queries, keys and values in one
  /// tensor are not taken apart.
  ///
  /// - Parameters:
  ///   - given: The layout of `source`; nil for the one it records.
  ///   - headDim: The rows of a head.
  ///   - rotaryDim: Those of them that are rotated; nil for all.
  ///   - endings: How the names of the tensors to convert end.
  /// - Returns: The names of the tensors that were converted.
  /// - Throws: `ModelError`: `embed` where the layout is neither given nor recorded, or both
  ///   and not the same; `missingTensor` where no name has such an ending; `shape` where the rows
  ///   are not whole heads; `elementType` for smaller elements and for quantised ones. The file at
  ///   `path` is then as it was.
  @discardableResult
  public static func convertCheckpoint(
    _ source: String, from given: RotaryLayout? = nil, to target: RotaryLayout, headDim: Int,
    rotaryDim: Int? = nil, endings: [String] = projectionNames, into path: String
  ) throws(ModelError) -> [String] {
    let file = try ModelError.wrapping(safetensors: try Safetensors(contentsOf: source))
    let layout = try layout(of: file.header, given: given)
    _ = try ModelError.wrapping(
      embed: try layout.permutation(to: target, headDim: headDim, rotaryDim: rotaryDim))
    let tensors = file.header.tensors
    let converted = tensors.filter { tensor in endings.contains { tensor.name.hasSuffix($0) } }
    guard !converted.isEmpty else {
      throw .safetensors(
        .missingTensor(path: source, expected: endings, found: tensors.map(\.name)))
    }
    for tensor in converted {
      // Scales of rows or blocks would have to change places too.
      let scales = tensors.first { $0.name != tensor.name && $0.name.hasPrefix(tensor.name) }
      guard scales == nil, tensor.type.byteCount != nil else {
        throw .safetensors(
          .elementType(
            path: source, tensor: tensor.name,
            expected: "of whole bytes, without scales such as '\(scales?.name ?? "weight_scale")'",
            found: tensor.type))
      }
      let rows = tensor.shape.first ?? 1
      guard (1...2).contains(tensor.shape.count), rows.isMultiple(of: headDim) else {
        throw .safetensors(
          .shape(
            path: source, tensor: tensor.name,
            expected: "[heads * \(headDim), inputs] or [heads * \(headDim)]", found: tensor.shape))
      }
    }
    var metadata = file.header.metadata
    metadata[CheckpointMetadata.rotaryLayout] = target.rawValue
    let names = Set(converted.map(\.name))
    var writer = try ModelError.wrapping(
      safetensors: try SafetensorsWriter(
        path, tensors: tensors.map { SafetensorsTensor($0) }, metadata: metadata))
    for tensor in tensors {
      if names.contains(tensor.name), tensor.count > 0 {
        let rows = try layout.reordered(
          tensor, of: file, to: target, headDim: headDim, rotaryDim: rotaryDim)
        try ModelError.wrapping(
          safetensors: try writer.write(tensor.name, bytes: unsafe rows.span.bytes))
      } else {
        try ModelError.wrapping(
          safetensors: try writer.write(tensor.name, bytes: file.bytes(of: tensor.name)))
      }
    }
    do throws(SafetensorsError) { try writer.commit() } catch { throw .safetensors(error) }
    return converted.map(\.name)
  }

  private func reordered(
    _ tensor: SafetensorsEntry, of file: borrowing Safetensors, to target: RotaryLayout,
    headDim: Int, rotaryDim: Int?
  ) throws(ModelError) -> AlignedBuffer<UInt8> {
    let input: UnsafeRawBufferPointer
    do throws(SafetensorsError) {
      unsafe input = try file.bytes(of: tensor.name).withUnsafeBytes { unsafe $0 }
    } catch {
      throw .safetensors(error)
    }
    let output = try ModelError.wrapping(embed: try AlignedBuffer<UInt8>(count: input.count))
    try ModelError.wrapping(
      embed: try unsafe convertRows(
        input, UnsafeMutableRawBufferPointer(output.unsafeBuffer), (tensor.count, tensor.count),
        elementBytes: tensor.type.byteCount ?? 1, heads: tensor.shape[0] / headDim,
        headDim: headDim, rotaryDim: rotaryDim,
        rowLength: tensor.shape.count == 2 ? tensor.shape[1] : 1, to: target))
    return output
  }

  /// What a checkpoint's metadata says under `CheckpointMetadata.rotaryLayout`.
  ///
  /// - Throws: `invalidField` for another value than a layout's name; nil where nothing is said.
  public init?(metadata value: String?) throws(EmbedError) {
    guard let value else { return nil }
    guard let layout = RotaryLayout(rawValue: value) else {
      throw .invalidField(
        field: CheckpointMetadata.rotaryLayout, found: "\"\(value)\"",
        expected: "half or interleaved")
    }
    self = layout
  }

  private static func recorded(
    _ header: SafetensorsHeader
  ) throws(ModelError) -> RotaryLayout? {
    try ModelError.wrapping(
      embed: try RotaryLayout(metadata: header.metadata[CheckpointMetadata.rotaryLayout]))
  }

  private static func layout(
    of header: SafetensorsHeader, given: RotaryLayout?
  ) throws(ModelError) -> RotaryLayout {
    let recorded = try recorded(header)
    if let layout = given ?? recorded, recorded == nil || recorded == layout { return layout }
    throw .embed(
      .invalidField(
        field: CheckpointMetadata.rotaryLayout, found: recorded?.rawValue ?? "missing",
        expected: given?.rawValue ?? "half or interleaved"))
  }
}
