// Writing what `convert` makes: each tensor's bytes as they are, or its elements resized and in another
// type, into a file of one of three formats.

internal import EmbedKernel

/// The file that is written, by its ending.
struct ConvertTarget {
  let path: String
  private let format: Format

  private enum Format {
    case safetensors
    case npz
    case npy
  }

  init(_ path: String) throws(CommandError) {
    self.path = path
    switch path {
    case _ where path.hasSuffix(".safetensors"): format = .safetensors
    case _ where path.hasSuffix(".npz"): format = .npz
    case _ where path.hasSuffix(".npy"): format = .npy
    default:
      throw .usage(
        "option --\(Convert.output.name): '\(path)' ends in none of .safetensors, .npz and .npy")
    }
  }

  /// Writes the tensors, whole or not at all.
  func write(_ tensors: [TargetTensor], of source: ConvertSource) throws {
    if format != .npy, tensors.contains(where: { $0.name == nil }) {
      throw CommandError.usage("--\(Convert.tensorName.name) is needed: '\(path)' has names")
    }
    func forEach(_ write: (Int, RawSpan) throws -> Void) throws {
      try source.forEach { index, bytes in
        try converted(bytes, source.tensors[index], tensors[index]) { try write(index, $0) }
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
      try forEach { index, bytes in
        try writer.write(tensors[index].name ?? "", bytes: bytes)
      }
      try writer.commit()
    case .npz:
      var writer = try NumPyArchiveWriter(path)
      try forEach { index, bytes in try write(bytes, tensors[index], to: &writer) }
      try writer.commit()
    case .npy:
      guard tensors.count == 1 else {
        let names = tensors.prefix(20).compactMap(\.name).joined(separator: ", ")
        throw CommandError.data(
          "'\(source.path)': a .npy file holds one array; write '\(source.path):NAME'; there are "
            + names)
      }
      try forEach { index, bytes in try write(bytes, tensors[index]) }
    }
  }

  /// Writes a tensor as the `.npy` file.
  private func write(_ bytes: RawSpan, _ tensor: TargetTensor) throws {
    func write<Element: NumPyElement>(_ type: Element.Type) throws {
      try unsafe bytes.withUnsafeBytes { bytes in
        let elements = unsafe bytes.bindMemory(to: Element.self)
        try unsafe NumPyFile.write(elements, shape: tensor.shape, to: path)
      }
    }
    try write(element(of: tensor))
  }

  /// Appends a tensor to the `.npz` file.
  private func write(
    _ bytes: RawSpan, _ tensor: TargetTensor, to writer: inout NumPyArchiveWriter
  ) throws {
    func write<Element: NumPyElement>(
      _ type: Element.Type, _ writer: inout NumPyArchiveWriter
    ) throws {
      try unsafe bytes.withUnsafeBytes { bytes in
        let elements = unsafe Span(_unsafeElements: bytes.bindMemory(to: Element.self))
        try writer.write(tensor.name ?? "", elements, shape: tensor.shape)
      }
    }
    try write(element(of: tensor), &writer)
  }

  private func element(of tensor: TargetTensor) throws(CommandError) -> any NumPyElement.Type {
    guard let type = tensor.type.numPyType else {
      throw .data(
        "'\(path)': NumPy has no type for tensor \(quoted(tensor.name ?? "")) of \(tensor.type.rawValue)"
      )
    }
    return type.element
  }
}
