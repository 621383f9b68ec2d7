// A model's tensors where they lie: in one safetensors file, or in the shards that an index lists.
//
//     model.safetensors.index.json   {"weight_map": {"wte.weight": "model-00001-of-00002.safetensors"}}
//
// Source: the transformers library, which writes and reads the index. Opening reads names alone; a
// shard is opened when a tensor of it is read, and only that tensor's bytes are.

public import EmbedKernel

/// The tensors of a model in one safetensors file or in several.
public struct SafetensorsModel: Sendable {
  /// The file, or the index of a sharded model.
  public let path: String

  /// The tensors' names: in one file in the order of their bytes, else in the index's.
  public let names: [String]

  /// The file of each tensor of a sharded model; nil where there is one file.
  private let shards: [String: String]?

  /// Opens the model at `path`: a safetensors file, an index (`.json`), or a folder that holds
  /// `model.safetensors` or `model.safetensors.index.json`.
  ///
  /// Allocates the names.
  ///
  /// - Throws: `ModelError`: `noModel` for a folder with neither, `invalidShard` for a shard
  ///   outside the index's folder, and whatever is wrong with the file.
  public init(contentsOf path: String) throws(ModelError) {
    let path = try Self.file(at: path)
    self.path = path
    if path.hasSuffix(".json") {
      let entries = try Self.index(path)
      names = entries.map(\.tensor)
      shards = Dictionary(entries.map { ($0.tensor, $0.file) }) { first, _ in first }
    } else {
      names = try ModelError.wrapping(safetensors: try SafetensorsHeader(contentsOf: path)).tensors
        .map(\.name)
      shards = nil
    }
  }

  /// Whether the file is one of several by its name, `model-00001-of-00002.safetensors`.
  var isOneShard: Bool {
    let parts = path.split(separator: "/").last?.split(separator: "-").suffix(3) ?? []
    guard shards == nil, parts.count == 3, Array(parts)[1] == "of" else { return false }
    let total = Array(parts)[2].prefix { $0.isASCII && $0.isNumber }
    return Int(total).map { $0 > 1 } ?? false
  }

  /// The model's file or index, where `path` may be a folder.
  private static func file(at path: String) throws(ModelError) -> String {
    guard Folders.isFolder(path) else { return path }
    for name in ["model.safetensors", "model.safetensors.index.json"] {
      let file = path + (path.hasSuffix("/") ? "" : "/") + name
      if Folders.exists(file) { return file }
    }
    throw .noModel(path: path)
  }

  /// The file that holds the tensor `name`.
  ///
  /// - Throws: `missingTensor`, with the nearest names that there are.
  public func file(of name: String) throws(ModelError) -> String {
    guard let shards else { return path }
    guard let file = shards[name] else {
      throw .safetensors(.missingTensor(path: path, expected: [name], found: names))
    }
    return file
  }

  /// The entry of the tensor `name` in its file's header.
  ///
  /// - Throws: `ModelError`: `missingTensor`, also where the index names a shard that does not
  ///   have the tensor, and whatever is wrong with the shard.
  public func entry(_ name: String) throws(ModelError) -> SafetensorsEntry {
    let file = try file(of: name)
    return try ModelError.wrapping(
      safetensors: try SafetensorsHeader(contentsOf: file).entry(name, in: file))
  }

  /// The tensor `name`, `[rows, dim]`, as a table of floats; F16 and BF16 are widened, which is
  /// exact.
  ///
  /// Allocates the table; of the file only the tensor's bytes are read.
  ///
  /// - Throws: `ModelError`: `missingTensor`, `shape`, `elementType`, `embed`, and whatever is
  ///   wrong with the file.
  public func table(_ name: String) throws(ModelError) -> EmbeddingTable<Float> {
    try table(name, rank: 2, dim: nil)
  }

  /// The same, where `rank` is 1 for `[dim]`, and with what the last dimension must be.
  func table(_ name: String, rank: Int, dim: Int?) throws(ModelError) -> EmbeddingTable<Float> {
    let place = try self.file(of: name)
    let file = try ModelError.wrapping(try InputFile(place))
    let header = try ModelError.wrapping(safetensors: try SafetensorsHeader(file))
    let entry = try ModelError.wrapping(safetensors: try header.entry(name, in: place))
    return try entry.table(file, header.dataOffset, rank: rank, dim: dim)
  }

  // MARK: The index

  /// The tensors that the index at `path` lists, with their files.
  private static func index(
    _ path: String
  ) throws(ModelError) -> [(tensor: String, file: String)] {
    let file = try ModelError.wrapping(try InputFile(path))
    guard file.byteCount <= SafetensorsHeader.maximumLength else {
      throw .safetensors(
        .headerTooLong(
          path: path, length: UInt64(file.byteCount), maximum: SafetensorsHeader.maximumLength))
    }
    let bytes = try ModelError.wrapping(try file.bytes(at: 0, count: file.byteCount))
    let root: JSONValue
    do throws(JSONError) {
      root = try JSONValue(parsing: bytes)
    } catch {
      throw .safetensors(
        .malformedHeader(path: path, offset: error.offset, expected: error.expected))
    }
    guard case .object(let members)? = root["weight_map"] else {
      throw .safetensors(
        .malformedHeader(
          path: path, offset: 0, expected: "an object 'weight_map' of tensors and their files"))
    }
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    var entries: [(tensor: String, file: String)] = []
    entries.reserveCapacity(members.count)
    for member in members {
      guard case .string(let shard) = member.value, isBelowFolder(shard) else {
        throw .invalidShard(path: path, tensor: member.key, shard: member.value.summary)
      }
      entries.append((member.key, folder + shard))
    }
    return entries
  }

  /// Whether a shard's name stays in the index's folder: no root, no way up, nothing that C cuts.
  private static func isBelowFolder(_ shard: String) -> Bool {
    !shard.utf8.contains(0)
      && shard.split(separator: "/", omittingEmptySubsequences: false).allSatisfy {
        !$0.isEmpty && $0 != "." && $0 != ".."
      }
  }
}

extension SafetensorsEntry {
  /// The tensor's elements in `file` as a table of floats.
  fileprivate func table(
    _ file: borrowing InputFile, _ dataOffset: Int, rank: Int, dim: Int?
  ) throws(ModelError) -> EmbeddingTable<Float> {
    let path = file.path
    guard [.float32, .float16, .bfloat16].contains(type) else {
      throw .safetensors(
        .elementType(path: path, tensor: name, expected: "F32, F16 or BF16", found: type))
    }
    let wanted = dim.map(String.init) ?? "dim"
    guard shape.count == rank, count > 0, dim == nil || shape.last == dim else {
      throw .safetensors(
        .shape(
          path: path, tensor: name, expected: rank == 2 ? "[rows, \(wanted)]" : "[\(wanted)]",
          found: shape))
    }
    let (rows, columns) = rank == 2 ? (shape[0], shape[1]) : (1, shape[0])
    let table = try ModelError.wrapping(embed: try EmbeddingTable<Float>(rows: rows, dim: columns))
    let target = unsafe table.unsafeBuffer
    let offset = dataOffset + start
    switch type {
    case .float16:
      try unsafe widen(file, offset, into: target) { (bits: UInt16) in Half(bitPattern: bits).float
      }
    case .bfloat16:
      try unsafe widen(file, offset, into: target) { (bits: UInt16) in
        BFloat16(bitPattern: bits).float
      }
    default: try unsafe read(file, offset, into: UnsafeMutableRawBufferPointer(target))
    }
    return table
  }

  /// Widens the elements in blocks of 1 MiB.
  @unsafe private func widen(
    _ file: borrowing InputFile, _ offset: Int, into target: UnsafeMutableBufferPointer<Float>,
    _ float: (UInt16) -> Float
  ) throws(ModelError) {
    let block = min(1 << 19, target.count)
    let memory = try ModelError.wrapping(
      try MappedMemory(byteCount: 2 * block, for: file.path))
    for first in stride(from: 0, to: target.count, by: block) {
      let count = min(block, target.count - first)
      let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: memory.bytes[..<(2 * count)])
      try unsafe read(file, offset + 2 * first, into: bytes)
      for i in 0..<count {
        unsafe target[first + i] = float(bytes.load(fromByteOffset: 2 * i, as: UInt16.self))
      }
    }
  }

  @unsafe private func read(
    _ file: borrowing InputFile, _ offset: Int, into bytes: UnsafeMutableRawBufferPointer
  ) throws(ModelError) {
    let count = try ModelError.wrapping(try unsafe file.read(into: bytes, at: offset))
    // The size was checked with the header, but the file may have shrunk since.
    guard count == bytes.count else {
      throw .safetensors(
        .dataSize(path: file.path, expected: end, actual: end - bytes.count + count))
    }
  }
}
