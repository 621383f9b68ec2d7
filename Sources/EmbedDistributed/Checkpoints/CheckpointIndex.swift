// The index of a checkpoint: which file has which tensor, as transformers writes and reads it, and beside that
// the step and the optimiser's file.

internal import CSystem
internal import EmbedKernel

/// What model.safetensors.index.json says.
struct CheckpointIndex {
  private static let name = "model.safetensors.index.json"
  let step: Int
  private var weights: [(tensor: String, file: String)] = []
  private var totalBytes = 0
  private var optimizer: String?

  /// Of a checkpoint to be written.
  init(step: Int) { self.step = step }

  /// Lists a tensor of the model and names its file.
  mutating func add(_ tensor: SharedTensor, _ number: Int, of count: Int) -> String {
    let file = "model-step-\(step)-0000\(number)-of-0000\(count).safetensors"
    weights.append((tensor.name, file))
    totalBytes += tensor.shape.reduce(tensor.size, *)
    return file
  }

  /// Names the optimiser's file.
  mutating func addOptimizer() -> String {
    let file = "optimizer-step-\(step).safetensors"
    optimizer = file
    return file
  }

  /// Puts this index in the place of the folder's, and removes the files of that one.
  func replace(in folder: String) throws {
    let old = try? CheckpointIndex(folder)
    var members = ["\"step\":\(step)", "\"total_size\":\(totalBytes)"]
    if let optimizer { members.append("\"optimizer\":\(optimizer.json)") }
    let map = weights.map { "\($0.tensor.json):\($0.file.json)" }
    let text =
      "{\"metadata\":{\(members.joined(separator: ","))},"
      + "\"weight_map\":{\(map.joined(separator: ","))}}\n"
    var file = try OutputFile(replacing: "\(folder)/\(Self.name)")
    try file.write(unsafe Array(text.utf8).span.bytes)
    try file.commit(.durable)
    let own = Set(files)
    for name in old?.files ?? [] where !own.contains(name) {
      unsafe _ = unlink("\(folder)/\(name)")
    }
  }

  /// The checkpoint's files.
  private var files: [String] { weights.map(\.file) + (optimizer.map { [$0] } ?? []) }

  // MARK: Reading

  /// Reads the index of a folder.
  init(_ folder: String) throws {
    let path = "\(folder)/\(Self.name)"
    let file = try InputFile(path)
    let root = try JSONValue(parsing: try file.bytes(at: 0, count: file.byteCount))
    func fault(_ what: String) -> DistributedError {
      .file(reason: "'\(path)': expected \(what)")
    }
    guard case .integer(let step)? = root["metadata"]?["step"], step >= 0 else {
      throw fault("a whole number 'step' in 'metadata', as ShardedEmbedding.save writes it")
    }
    guard case .object(let members)? = root["weight_map"] else {
      throw fault("an object 'weight_map' of tensors and their files")
    }
    self.step = step
    for member in members {
      guard case .string(let name) = member.value, Self.isInFolder(name) else {
        throw fault("the name of a file in its folder for \(member.key.inQuotes)")
      }
      weights.append((member.key, name))
    }
    guard let optimizer = root["metadata"]?["optimizer"] else { return }
    guard case .string(let name) = optimizer, Self.isInFolder(name) else {
      throw fault("the name of a file in its folder for 'optimizer'")
    }
    self.optimizer = name
  }

  private static func isInFolder(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".." && !name.utf8.contains(0)
      && !name.utf8.contains(UInt8(ascii: "/"))
  }

  /// The file that has a tensor of the model.
  func file(of tensor: String, _ folder: String) throws -> String {
    guard let found = weights.first(where: { $0.tensor == tensor }) else {
      throw SafetensorsError.missingTensor(
        path: "\(folder)/\(Self.name)", expected: [tensor], found: weights.map(\.tensor))
    }
    return "\(folder)/\(found.file)"
  }

  /// The optimiser's file.
  func optimizerFile(_ folder: String) throws -> String {
    guard let optimizer else {
      throw DistributedError.file(
        reason: "'\(folder)/\(Self.name)' names no optimizer: it was saved without")
    }
    return "\(folder)/\(optimizer)"
  }

  /// What all ranks must see alike: the files' sizes and headers.
  func facts(in folder: String) throws -> [(name: String, value: String)] {
    try [("step", "\(step)")]
      + files.map { file in
        let path = "\(folder)/\(file)"
        let header = try SafetensorsHeader(contentsOf: path)
        let text = try InputFile(path).bytes(at: 0, count: header.dataOffset)
        return (
          "'\(file)'",
          "\(header.dataOffset + header.dataByteCount) bytes, header \(CheckSum.of(text))"
        )
      }
  }
}
