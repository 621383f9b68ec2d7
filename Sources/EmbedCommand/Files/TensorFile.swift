// The arrays of a file of whatever format: their names, types and shapes, and the bytes of each when they
// are asked for.

internal import EmbedKernel
internal import EmbedModels

/// An array of a file.
struct Tensor: Equatable {
  /// Nil for the array of a `.npy` file.
  var name: String?
  var type: SafetensorsType
  var shape: [Int]
  /// The bytes of a tensor whose type does not tell them.
  var byteCount: Int?

  /// Elements in all.
  var count: Int { shape.reduce(1, *) }
}

extension Tensor {
  /// What a safetensors header says of it.
  init(_ entry: SafetensorsEntry) {
    self.init(
      name: entry.name, type: entry.type, shape: entry.shape,
      byteCount: entry.type.bitCount == nil ? entry.byteCount : nil)
  }

  init(_ name: String?, _ header: NumPyHeader) {
    self.init(name: name, type: SafetensorsType(header.elementType), shape: header.shape)
  }
}

/// The formats of arrays.
enum ArrayFormat: String, CaseIterable {
  case safetensors = ".safetensors"
  case npz = ".npz"
  case npy = ".npy"
}

/// The arrays of a file: all of them, or the one that is named.
struct TensorFile {
  /// The file and the array, as they were named.
  let path: String
  let tensors: [Tensor]
  /// The texts of a `.safetensors` file.
  private(set) var metadata: [String: String] = [:]
  private let source: Source

  /// Whether it is of a format that models have, all of it.
  var isModel: Bool {
    guard case .safetensors = source else { return false }
    return Self.parts(path, .safetensors)?.name == nil
  }

  /// Whether it is a `.npy` file.
  var isNumPy: Bool { if case .npy = source { true } else { false } }

  /// Where the bytes are.
  private enum Source {
    case npy
    case npz(file: String)
    case safetensors(files: [String])
  }

  /// Reads the headers of `FILE.npy`, `FILE.npz`, `FILE.safetensors`, of a sharded model by its index or
  /// folder, or of one array as `FILE:NAME`.
  ///
  /// - Parameter isSingle: Whether the file must hold one array alone, where none is named.
  init(_ path: String, isSingle: Bool = false) throws {
    self.path = path
    func chosen(_ name: String?, _ names: [String]) throws(CommandError) -> [String] {
      if let name { return [name] }
      guard !isSingle || names.count == 1 else {
        let list = names.isEmpty ? "none" : names.prefix(20).joined(separator: ", ")
        throw .data("'\(path)': which of its arrays? Write '\(path):NAME'; there are \(list)")
      }
      return names
    }
    if let (file, name) = Self.parts(path, .safetensors) {
      let header = try SafetensorsHeader(contentsOf: file)
      tensors = try chosen(name, header.tensors.map(\.name)).map {
        Tensor(try header.entry($0, in: file))
      }
      source = .safetensors(files: tensors.map { _ in file })
      metadata = name == nil ? header.metadata : [:]
    } else if let (file, name) = Self.parts(path, .npz) {
      let archive = try NumPyArchive(contentsOf: file)
      var tensors: [Tensor] = []
      for name in try chosen(name, archive.names) {
        tensors.append(Tensor(name, try archive.header(of: name)))
      }
      self.tensors = tensors
      source = .npz(file: file)
    } else if !isSingle, path.hasSuffix(".json") || Folders.isFolder(path) {
      let model = try SafetensorsModel(contentsOf: path)
      tensors = try model.names.map { Tensor(try model.entry($0)) }
      let files = try model.names.map { try model.file(of: $0) }
      source = .safetensors(files: files)
      metadata = try Self.metadata(Set(files).sorted())
    } else {
      tensors = [Tensor(nil, try NumPyHeader(contentsOf: path))]
      source = .npy
    }
  }

  /// The file and the array's name in `path`, where it is of that format.
  private static func parts(
    _ path: String, _ format: ArrayFormat
  ) -> (file: String, name: String?)? {
    if path.hasSuffix(format.rawValue) { return (path, nil) }
    guard let range = path.ranges(of: format.rawValue + ":").first else { return nil }
    return (path[..<range.lowerBound] + format.rawValue, String(path[range.upperBound...]))
  }

  /// The texts of all shards, which must not contradict each other.
  private static func metadata(_ files: [String]) throws -> [String: String] {
    var texts: [String: String] = [:]
    for file in files {
      for (key, text) in try SafetensorsHeader(contentsOf: file).metadata {
        guard texts.updateValue(text, forKey: key) ?? text == text else {
          throw CommandError.data(
            "'\(file)': metadata \(quoted(key)) is \(quoted(text)), which other shards have otherwise"
          )
        }
      }
    }
    return texts
  }

  /// Gives `body` the bytes of each array in C order, one after the other.
  func forEach(_ body: (Int, RawSpan) throws -> Void) throws {
    switch source {
    case .npy:
      let array = try NumPyArray(bytesOf: path)
      try body(0, unsafe array.span.bytes)
    case .npz(let file):
      let archive = try NumPyArchive(contentsOf: file)
      for (index, tensor) in tensors.enumerated() {
        let array = try archive.bytes(of: tensor.name ?? "")
        try body(index, unsafe array.span.bytes)
      }
    case .safetensors(let files):
      for (index, tensor) in tensors.enumerated() {
        let file = try Safetensors(contentsOf: files[index])
        let bytes = try file.bytes(of: tensor.name ?? "")
        try body(index, bytes)
      }
    }
  }
}
