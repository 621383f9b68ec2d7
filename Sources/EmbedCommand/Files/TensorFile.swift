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
  var unknownByteCount: Int?

  /// Elements in all; headers are refused whose shapes have more than can be counted.
  var count: Int { shape.contains(0) ? 0 : shape.reduce(1, *) }

  /// The bytes of all elements.
  var byteCount: Int { unknownByteCount ?? type.byteCount(of: count) ?? 0 }
}

extension Tensor {
  /// What a safetensors header says of it.
  init(_ entry: SafetensorsEntry) {
    self.init(
      name: entry.name, type: entry.type, shape: entry.shape,
      unknownByteCount: entry.type.bitCount == nil ? entry.byteCount : nil)
  }

  /// What a GGUF header says of it; blocks are of a type that has no name in other files.
  init(_ entry: GGUFEntry) {
    let type =
      SafetensorsType.ofGGUF.first { $0.gguf == entry.type }?.type ?? .other(entry.type.name)
    self.init(
      name: entry.name, type: type, shape: entry.shape,
      unknownByteCount: type.bitCount == nil ? entry.byteCount : nil)
  }

  init(_ name: String?, _ header: NumPyHeader) {
    self.init(name: name, type: SafetensorsType(header.elementType), shape: header.shape)
  }
}

extension SafetensorsType {
  /// The types of single elements that GGUF files have too.
  static let ofGGUF: [(type: SafetensorsType, gguf: GGUFType)] = [
    (.float32, .float32), (.float16, .float16), (.bfloat16, .bfloat16), (.float64, .float64),
    (.int8, .int8), (.int16, .int16), (.int32, .int32), (.int64, .int64),
  ]
}

/// The formats of arrays.
enum ArrayFormat: String, CaseIterable {
  case safetensors = ".safetensors"
  case gguf = ".gguf"
  case npz = ".npz"
  case npy = ".npy"
}

/// The arrays of a file: all of them, or the one that is named.
struct TensorFile {
  /// The file and the array, as they were named.
  let path: String
  let tensors: [Tensor]
  /// What the file says of itself: the texts of a `.safetensors` file by rising keys, the values of a
  /// `.gguf` file in its order.
  let metadata: [GGUFMetadata]
  /// The file's format, in words.
  let format: String
  /// The array that is named.
  private let name: String?
  private let source: Source

  /// Which arrays of a file are meant, where none is named.
  enum Choice {
    case all
    /// The only one; several are refused.
    case single
    /// The only one, or the token table by the names that models give it.
    case tokens
  }

  /// Whether it is of a format that models have in Python, all of it.
  var isModel: Bool {
    guard case .safetensors = source else { return false }
    return name == nil
  }

  /// Whether it is a `.npy` file.
  var isNumPy: Bool { if case .npy = source { true } else { false } }

  /// Whether it is a `.gguf` file.
  var isGGUF: Bool { if case .gguf = source { true } else { false } }

  /// Whether its types go by NumPy's names.
  var hasNumPyTypes: Bool {
    switch source {
    case .npy, .npz: true
    case .gguf, .safetensors: false
    }
  }

  /// Where the bytes are.
  private enum Source {
    case npy
    case npz(file: String)
    case gguf(file: String)
    /// A file for each tensor.
    case safetensors(files: [String])
  }

  /// Reads the headers of `FILE.npy`, `FILE.npz`, `FILE.safetensors`, `FILE.gguf`, of a sharded model by
  /// its index or folder, or of one array as `FILE:NAME`.
  init(_ path: String, _ choice: Choice = .all) throws {
    if let (file, name) = Self.parts(path, ArrayFormat.safetensors.rawValue) {
      let header = try SafetensorsHeader(contentsOf: file)
      let entries = try Self.chosen(
        name, choice, header.tensors, \.name, of: path
      ) { name throws(SafetensorsError) in try header.entry(name, in: file) }
      self.init(
        path, name, entries.map { Tensor($0) }, "safetensors",
        .safetensors(files: entries.map { _ in file }), Self.metadata(header.metadata))
    } else if let (file, name) = Self.parts(path, ArrayFormat.gguf.rawValue) {
      let header = try GGUFHeader(contentsOf: file)
      let entries = try Self.chosen(
        name, choice, header.tensors, \.name, of: path
      ) { name throws(GGUFError) in try header.entry(name, in: file) }
      self.init(
        path, name, entries.map { Tensor($0) }, "GGUF version \(header.version)",
        .gguf(file: file), header.metadata)
    } else if let (file, name) = Self.parts(path, ArrayFormat.npz.rawValue) {
      let archive = try NumPyArchive(contentsOf: file)
      let names = try Self.chosen(name, choice, archive.names, \.self, of: path) { $0 }
      var tensors: [Tensor] = []
      for name in names { tensors.append(Tensor(name, try archive.header(of: name))) }
      self.init(path, name, tensors, "NumPy archive", .npz(file: file), [])
    } else if let (file, name) = Self.parts(path, ".json") ?? Self.folder(path) {
      let model = try SafetensorsModel(contentsOf: file)
      let names = try Self.chosen(name, choice, model.names, \.self, of: path) { $0 }
      let files = try names.map { try model.file(of: $0) }
      // A header of a large model lists thousands: each is read once.
      var headers: [String: (tensors: [String: Tensor], texts: [String: String])] = [:]
      for file in Set(files) {
        let header = try SafetensorsHeader(contentsOf: file)
        headers[file] = (
          Dictionary(header.tensors.map { ($0.name, Tensor($0)) }) { first, _ in first },
          header.metadata
        )
      }
      let tensors = try zip(names, files).map { name, file in
        guard let tensor = headers[file]?.tensors[name] else {
          throw SafetensorsError.missingTensor(
            path: file, expected: [name], found: Array((headers[file]?.tensors ?? [:]).keys))
        }
        return tensor
      }
      self.init(
        path, name, tensors,
        headers.count == 1 ? "safetensors" : "safetensors in \(headers.count) files",
        .safetensors(files: files),
        Self.metadata(
          try Self.united(headers.sorted { $0.key < $1.key }.map { ($0.key, $0.value.texts) })))
    } else {
      self.init(
        path, nil, [Tensor(nil, try NumPyHeader(contentsOf: path))], "NumPy array", .npy, [])
    }
  }

  private init(
    _ path: String, _ name: String?, _ tensors: [Tensor], _ format: String, _ source: Source,
    _ metadata: [GGUFMetadata]
  ) {
    self.path = path
    self.name = name
    self.tensors = tensors
    self.format = format
    self.source = source
    // One array alone has none.
    self.metadata = name == nil ? metadata : []
  }

  /// The entries that are meant: the one of the name, or what the choice says.
  private static func chosen<Entry, Failure: Error>(
    _ name: String?, _ choice: Choice, _ entries: [Entry], _ nameOf: KeyPath<Entry, String>,
    of path: String, _ named: (String) throws(Failure) -> Entry
  ) throws -> [Entry] {
    if let name { return [try named(name)] }
    guard choice != .all, entries.count != 1 else { return entries }
    let names = entries.map { $0[keyPath: nameOf] }
    if choice == .tokens {
      return [try named(try EmbeddingNames.tokenTable(among: names, of: path))]
    }
    let list = names.isEmpty ? "none" : names.prefix(20).joined(separator: ", ")
    throw CommandError.data(
      "'\(path)': which of its arrays? Write '\(path):NAME'; there are \(list)")
  }

  /// The file and the array's name in `path`, where it has that ending.
  private static func parts(_ path: String, _ ending: String) -> (file: String, name: String?)? {
    if path.hasSuffix(ending) { return (path, nil) }
    guard let range = path.ranges(of: ending + ":").first else { return nil }
    return (path[..<range.lowerBound] + ending, String(path[range.upperBound...]))
  }

  /// The folder of a model and the array's name in `path`, where there is one.
  private static func folder(_ path: String) -> (file: String, name: String?)? {
    if Folders.isFolder(path) { return (path, nil) }
    guard let colon = path.lastIndex(of: ":"), Folders.isFolder(String(path[..<colon])) else {
      return nil
    }
    return (String(path[..<colon]), String(path[path.index(after: colon)...]))
  }

  private static func metadata(_ texts: [String: String]) -> [GGUFMetadata] {
    texts.sorted { $0.key < $1.key }.map { GGUFMetadata($0.key, .string($0.value)) }
  }

  /// The texts of all shards, which must not contradict each other.
  private static func united(
    _ files: [(path: String, texts: [String: String])]
  ) throws(CommandError) -> [String: String] {
    var all: [String: String] = [:]
    for file in files {
      for (key, text) in file.texts {
        guard all.updateValue(text, forKey: key) ?? text == text else {
          throw .data(
            "'\(file.path)': metadata \(quoted(key)) is \(quoted(text)), which other shards have "
              + "otherwise")
        }
      }
    }
    return all
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
    case .gguf(let path):
      let file = try GGUF(contentsOf: path)
      for (index, tensor) in tensors.enumerated() {
        let bytes = try file.bytes(of: tensor.name ?? "")
        try body(index, bytes)
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
