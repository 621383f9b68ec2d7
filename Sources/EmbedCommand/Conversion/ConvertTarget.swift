// Writing what `convert` makes into a file of one of four formats.

internal import EmbedKernel

/// The file that is written, by its ending.
struct ConvertTarget {
  let path: String
  let format: ArrayFormat

  init(_ path: String) throws(CommandError) {
    self.path = path
    guard let format = ArrayFormat.allCases.first(where: { path.hasSuffix($0.rawValue) }) else {
      throw .usage(
        "option --\(Convert.output.name): '\(path)' ends in none of .safetensors, .gguf, .npz and .npy"
      )
    }
    self.format = format
  }

  /// Writes tensors, whole or not at all.
  ///
  /// - Parameter forEach: Gives its argument the bytes of each tensor by its index, in any order.
  func write(
    _ tensors: [Tensor], _ metadata: [GGUFMetadata], of source: TensorFile,
    _ forEach: (_ write: (Int, RawSpan) throws -> Void) throws -> Void
  ) throws {
    if format != .npy, tensors.contains(where: { $0.name == nil }) {
      throw CommandError.usage("--\(Convert.tensorName.name) is needed: '\(path)' has names")
    }
    switch format {
    case .safetensors:
      if source.isGGUF, let blocks = tensors.first(where: { $0.unknownByteCount != nil }) {
        throw noType(in: "safetensors", for: blocks)
      }
      var writer = try SafetensorsWriter(
        path,
        tensors: tensors.map {
          SafetensorsTensor(
            $0.name ?? "", $0.type, shape: $0.shape, byteCount: $0.unknownByteCount)
        },
        metadata: try texts(metadata))
      try forEach { index, bytes in try writer.write(tensors[index].name ?? "", bytes: bytes) }
      try writer.commit()
    case .gguf:
      var writer = try GGUFWriter(
        path,
        tensors: try tensors.map {
          GGUFTensor($0.name ?? "", try ggufType(of: $0), shape: $0.shape)
        },
        metadata: metadata.filter { $0.key != "general.alignment" })
      try forEach { index, bytes in try writer.write(tensors[index].name ?? "", bytes: bytes) }
      try writer.commit()
    case .npz:
      var writer = try NumPyArchiveWriter(path)
      try forEach { index, bytes in
        let tensor = tensors[index]
        try writer.write(
          tensor.name ?? "", bytes: bytes, of: numPyType(of: tensor), shape: tensor.shape)
      }
      try writer.commit()
    case .npy:
      guard tensors.count == 1 else {
        let names = tensors.prefix(20).compactMap(\.name).joined(separator: ", ")
        throw CommandError.data(
          "'\(source.path)': a .npy file holds one array; write '\(source.path):NAME'; there are "
            + names)
      }
      try forEach { index, bytes in
        try NumPyFile.write(
          bytes: bytes, of: numPyType(of: tensors[index]), shape: tensors[index].shape, to: path)
      }
    }
  }

  /// The metadata as texts, which is what safetensors files have; arrays are left out, and named.
  private func texts(_ metadata: [GGUFMetadata]) throws(CommandError) -> [String: String] {
    var texts: [String: String] = [:]
    var left: [String] = []
    for fact in metadata {
      if let text = fact.value.text { texts[fact.key] = text } else { left.append(fact.key) }
    }
    if !left.isEmpty {
      Report.standardError.line(
        "convert: left out, as safetensors' metadata are texts: \(left.prefix(20).joined(separator: ", "))"
      )
    }
    return texts
  }

  private func numPyType(of tensor: Tensor) throws(CommandError) -> NumPyElementType {
    guard let type = tensor.type.numPyType else { throw noType(in: "NumPy", for: tensor) }
    return type
  }

  private func ggufType(of tensor: Tensor) throws(CommandError) -> GGUFType {
    let plain = SafetensorsType.ofGGUF.first { $0.type == tensor.type }?.gguf
    guard let type = plain ?? GGUFType(name: tensor.type.rawValue) else {
      throw noType(in: "GGUF", for: tensor)
    }
    return type
  }

  private func noType(in format: String, for tensor: Tensor) -> CommandError {
    .data(
      "'\(path)': \(format) has no type for tensor \(quoted(tensor.name ?? "")) of "
        + tensor.type.rawValue)
  }
}

extension GGUFValue {
  /// The value in words; nil for an array.
  var text: String? {
    switch self {
    case .uint8(let value): "\(value)"
    case .int8(let value): "\(value)"
    case .uint16(let value): "\(value)"
    case .int16(let value): "\(value)"
    case .uint32(let value): "\(value)"
    case .int32(let value): "\(value)"
    case .uint64(let value): "\(value)"
    case .int64(let value): "\(value)"
    case .float32(let value): value.isNaN ? "nan" : "\(value)"
    case .float64(let value): value.legible
    case .bool(let value): "\(value)"
    case .string(let value): value
    case .array: nil
    }
  }
}
