// The arrays of a file of whatever format: their names, types and shapes, and the bytes of each when they
// are asked for.

internal import EmbedKernel
internal import EmbedModels

/// The arrays of a file: all of them, or the one that is named.
struct TensorFile {
  /// The file and the array, as they were named.
  let path: String
  let tensors: [Tensor]
  /// What the file says of itself: the texts of a `.safetensors` file by rising keys, the values of a
  /// `.gguf` file in its order.
  private let allMetadata: [GGUFMetadata]
  /// The file's format, in words.
  let format: String
  /// The names of all arrays of the file, whichever is meant; of a sharded model also those that the files of
  /// `tensors` have and the index does not list.
  let names: [String]
  /// The file, index or folder.
  private let container: String
  /// The array that is named.
  private let name: String?
  private let source: Source
  private let opened = OpenedFile()

  /// Which arrays of a file are meant, where none is named.
  enum Choice {
    case all
    /// The only one; several are refused.
    case single
    /// The only one, or the token table by the names that models give it.
    case tokens
  }

  /// What the file says of all of it: none of one array that is named.
  var metadata: [GGUFMetadata] { name == nil ? allMetadata : [] }

  /// What the file says of `key`, whichever array is meant.
  func value(of key: String) -> GGUFValue? { allMetadata.first { $0.key == key }?.value }

  /// Another array of the same file, or the same one by its name.
  func array(_ name: String) throws -> TensorFile { try TensorFile(container + ":" + name) }

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
        path, (file, name), header.tensors.map(\.name), entries.map { Tensor($0) }, "safetensors",
        .safetensors(files: entries.map { _ in file }), Self.metadata(header.metadata))
    } else if let (file, name) = Self.parts(path, ArrayFormat.gguf.rawValue) {
      let header = try GGUFHeader(contentsOf: file)
      let entries = try Self.chosen(
        name, choice, header.tensors, \.name, of: path
      ) { name throws(GGUFError) in try header.entry(name, in: file) }
      self.init(
        path, (file, name), header.tensors.map(\.name), entries.map { Tensor($0) },
        "GGUF version \(header.version)", .gguf(file: file), header.metadata)
    } else if let (file, name) = Self.parts(path, ArrayFormat.npz.rawValue) {
      let archive = try NumPyArchive(contentsOf: file)
      let names = try Self.chosen(name, choice, archive.names, \.self, of: path) { $0 }
      var tensors: [Tensor] = []
      for name in names { tensors.append(Tensor(name, try archive.header(of: name))) }
      self.init(
        path, (file, name), archive.names, tensors, "NumPy archive", .npz(file: file), [])
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
      // A shard may have more than the index lists, such as the scales of a table.
      let listed = Set(model.names)
      let others = headers.values.flatMap(\.tensors.keys).filter { !listed.contains($0) }
      self.init(
        path, (file, name), model.names + others.sorted(), tensors,
        headers.count == 1 ? "safetensors" : "safetensors in \(headers.count) files",
        .safetensors(files: files),
        Self.metadata(
          try Self.united(headers.sorted { $0.key < $1.key }.map { ($0.key, $0.value.texts) })))
    } else {
      self.init(
        path, (path, nil), [], [Tensor(nil, try NumPyHeader(contentsOf: path))], "NumPy array",
        .npy,
        [])
    }
  }

  private init(
    _ path: String, _ place: (file: String, name: String?), _ names: [String], _ tensors: [Tensor],
    _ format: String, _ source: Source, _ metadata: [GGUFMetadata]
  ) {
    self.path = path
    (container, name) = place
    self.names = names
    self.tensors = tensors
    self.format = format
    self.source = source
    allMetadata = metadata
  }

  /// The entries that are meant: the one of the name, or what the choice says.
  private static func chosen<Entry, Failure: Error>(
    _ name: String?, _ choice: Choice, _ entries: [Entry], _ nameOf: KeyPath<Entry, String>,
    of path: String, _ named: (String) throws(Failure) -> Entry
  ) throws -> [Entry] {
    if let name { return [try named(name)] }
    guard choice != .all, entries.count != 1 else { return entries }
    let names = entries.map { $0[keyPath: nameOf] }
    if choice == .tokens, let table = try tokenTable(names, of: path) { return [try named(table)] }
    let list = names.isEmpty ? "none" : names.prefix(20).joined(separator: ", ")
    throw CommandError.data(
      "'\(path)': which of its arrays? Write '\(path):NAME'; there are \(list)")
  }

  /// The token table by its usual names; nil where none of a few arrays has one.
  private static func tokenTable(_ names: [String], of path: String) throws -> String? {
    do throws(ModelError) {
      return try EmbeddingNames.tokenTable(among: names, of: path)
    } catch {
      if case .ambiguousTensor(_, let candidates) = error {
        throw CommandError.data(
          "'\(path)': which of \(candidates.listed("and")) is meant? Write '\(path):NAME'")
      }
      guard names.count <= 20 else { throw error }
      return nil
    }
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

  /// One array of the file alone, by its index.
  func single(_ index: Int) throws -> TensorFile {
    tensors.count == 1 ? self : try array(tensors[index].name ?? "")
  }

  /// Gives `body` the bytes of an array in C order, by its index.
  func withBytes<Result>(of index: Int, _ body: (RawSpan) throws -> Result) throws -> Result {
    let bytes = try bytes(of: index, access: .copied)
    let file = unsafe MappedFile(of: bytes.bytes)
    guard file?.enter() ?? true else { throw lost(file) }
    let result: Result
    do { result = try body(unsafe RawSpan(_unsafeBytes: bytes.bytes)) } catch {
      _ = file?.leave()
      throw error
    }
    guard file?.leave() ?? true else { throw lost(file) }
    return result
  }

  /// The error of a file that cannot be read as it was mapped.
  private func lost(_ file: MappedFile?) -> FileError {
    .unsuitable(
      path: file?.path ?? path, reason: "cannot be read: \(file?.fault?.reason ?? "lost")")
  }

  /// The bytes of an array in C order, by its index: the file's own pages, where those have them so; of a
  /// `.npy` file where that is asked for.
  func bytes(of index: Int = 0, access: FileAccess = .mapped) throws -> TensorBytes {
    let name = tensors[index].name ?? ""
    switch source {
    case .npy:
      let kept = Kept(try NumPyArray(bytesOf: path, access: access))
      return unsafe kept.value.withUnsafeBufferPointer {
        unsafe TensorBytes(UnsafeRawBufferPointer($0), of: kept)
      }
    case .npz(let file):
      let kept = Kept(try NumPyArchive(contentsOf: file).bytes(of: name))
      return unsafe kept.value.withUnsafeBufferPointer {
        unsafe TensorBytes(UnsafeRawBufferPointer($0), of: kept)
      }
    case .gguf(let file):
      let kept = try opened.gguf(file, access)
      return unsafe TensorBytes(try kept.value.unsafeBytes(of: name), of: kept)
    case .safetensors(let files):
      let kept = try opened.safetensors(files[index], access)
      return unsafe TensorBytes(try kept.value.unsafeBytes(of: name), of: kept)
    }
  }
}

/// The file that was read last, so that its header is read once for all of its arrays.
private final class OpenedFile {
  private var path = ""
  private var access = FileAccess.mapped
  private var gguf: Kept<GGUF>?
  private var safetensors: Kept<Safetensors>?

  /// - Parameter access: What is to be copied is read from the file's pages.
  func gguf(_ path: String, _ access: FileAccess) throws -> Kept<GGUF> {
    let access = access == .copied ? .mapped : access
    if let gguf, self.path == path, self.access == access { return gguf }
    let file = Kept(try GGUF(contentsOf: path, access: access))
    (self.path, self.access, gguf, safetensors) = (path, access, file, nil)
    return file
  }

  func safetensors(_ path: String, _ access: FileAccess) throws -> Kept<Safetensors> {
    let access = access == .copied ? .mapped : access
    if let safetensors, self.path == path, self.access == access { return safetensors }
    let file = Kept(try Safetensors(contentsOf: path, access: access))
    (self.path, self.access, safetensors, gguf) = (path, access, file, nil)
    return file
  }
}
