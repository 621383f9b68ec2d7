// What `convert` reads: the tensors of a file, by name, type and shape, and the bytes of each when it is
// written.

internal import EmbedKernel

/// A tensor of a file.
struct SourceTensor {
  /// Nil for the array of a `.npy` file.
  let name: String?
  let type: SafetensorsType
  let shape: [Int]
  /// The bytes of a tensor whose type does not tell them.
  var byteCount: Int?

  /// Elements in all.
  var count: Int { shape.reduce(1, *) }
}

/// The tensors of a file.
struct ConvertSource {
  let path: String
  let tensors: [SourceTensor]
  let metadata: [String: String]
  private let arrays: [ArrayFile]

  /// Reads the headers of `FILE.safetensors`, `FILE.npz` or `FILE.npy`, or of one array of the first two.
  init(_ path: String) throws {
    self.path = path
    if path.hasSuffix(".safetensors") {
      let header = try SafetensorsHeader(contentsOf: path)
      tensors = header.tensors.map {
        SourceTensor(
          name: $0.name, type: $0.type, shape: $0.shape,
          byteCount: $0.type.bitCount == nil ? $0.byteCount : nil)
      }
      (metadata, arrays) = (header.metadata, [])
      return
    }
    let names = path.hasSuffix(".npz") ? try NumPyArchive(contentsOf: path).names : nil
    arrays = try names?.map { try ArrayFile(path, name: $0) } ?? [ArrayFile(path)]
    let titles: [String?] = names ?? [arrays[0].name]
    tensors = zip(titles, arrays).map { name, array in
      SourceTensor(name: name, type: SafetensorsType(array.elementType), shape: array.shape)
    }
    metadata = [:]
  }

  /// Gives `body` the tensors' bytes, one after the other.
  func forEach(_ body: (Int, RawSpan) throws -> Void) throws {
    guard arrays.isEmpty else {
      for (index, array) in arrays.enumerated() {
        try array.withBytes { bytes in try body(index, bytes) }
      }
      return
    }
    guard !tensors.isEmpty else { return }
    let file = try Safetensors(contentsOf: path)
    for (index, tensor) in tensors.enumerated() {
      let bytes = try file.bytes(of: tensor.name ?? "")
      try body(index, bytes)
    }
  }
}
