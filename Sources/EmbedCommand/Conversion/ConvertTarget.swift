// Writing what `convert` makes: each tensor's bytes as they are, or its elements resized and in another
// type, into a file of one of three formats.

internal import EmbedKernel

/// The file that is written, by its ending.
struct ConvertTarget {
  let path: String
  private let format: ArrayFormat

  init(_ path: String) throws(CommandError) {
    self.path = path
    guard let format = ArrayFormat.allCases.first(where: { path.hasSuffix($0.rawValue) }) else {
      throw .usage(
        "option --\(Convert.output.name): '\(path)' ends in none of .safetensors, .npz and .npy")
    }
    self.format = format
  }

  /// Writes the tensors, whole or not at all.
  func write(_ targets: [TargetTensor], of source: TensorFile) throws {
    let tensors = targets.map(\.tensor)
    if format != .npy, tensors.contains(where: { $0.name == nil }) {
      throw CommandError.usage("--\(Convert.tensorName.name) is needed: '\(path)' has names")
    }
    func forEach(_ write: (Tensor, RawSpan) throws -> Void) throws {
      try source.forEach { index, bytes in
        try converted(bytes, source.tensors[index], targets[index]) {
          try write(tensors[index], $0)
        }
      }
    }
    switch format {
    case .safetensors:
      var writer = try SafetensorsWriter(
        path,
        tensors: tensors.map {
          SafetensorsTensor($0.name ?? "", $0.type, shape: $0.shape, byteCount: $0.byteCount)
        },
        metadata: source.metadata)
      try forEach { tensor, bytes in try writer.write(tensor.name ?? "", bytes: bytes) }
      try writer.commit()
    case .npz:
      var writer = try NumPyArchiveWriter(path)
      try forEach { tensor, bytes in
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
      try forEach { tensor, bytes in
        try NumPyFile.write(
          bytes: bytes, of: numPyType(of: tensor), shape: tensor.shape, to: path)
      }
    }
  }

  private func numPyType(of tensor: Tensor) throws(CommandError) -> NumPyElementType {
    guard let type = tensor.type.numPyType else {
      throw .data(
        "'\(path)': NumPy has no type for tensor \(quoted(tensor.name ?? "")) of \(tensor.type.rawValue)"
      )
    }
    return type
  }
}
