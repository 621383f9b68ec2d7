// The index of a checkpoint: which file has which tensor, as transformers writes and reads it, and beside that
// the step and the optimiser's file.

internal import CSystem
internal import EmbedKernel

/// What model.safetensors.index.json says.
package struct CheckpointIndex {
  private static let name = "model.safetensors.index.json"
  /// The steps taken.
  package let step: Int
  private let mark: String
  private var weights: [(tensor: String, file: String)] = []
  private var totalBytes = 0
  private var optimizer: String?

  /// A file being written: its tensors, of which each rank has a part, and its texts.
  package typealias Contents = (tensors: [SharedTensor], texts: [String: String])

  /// Writes a checkpoint's files, and then the index in the place of the folder's; all ranks call.
  ///
  /// - Parameters:
  ///   - models: The files of the model's tensors.
  ///   - optimizer: The file of the optimiser's state.
  /// - Throws: `file` on a rank that can't write, `refused` on the others; the checkpoint before is then whole.
  package static func write(
    to folder: String, step: Int, _ models: [Contents], optimizer: Contents?,
    over communicator: Communicator
  ) throws(DistributedError) {
    // Rank 0 sees what is there, and all name the files alike.
    let mark = try communicator.gather(communicator.rank == 0 ? mark(of: step, in: folder) : "")[0]
    var index = CheckpointIndex(step: step, mark: mark)
    for (number, contents) in models.enumerated() {
      let file = index.add(contents.tensors, number + 1, of: models.count)
      try SharedFile.write(folder, file, contents.texts, contents.tensors, communicator)
    }
    if let optimizer {
      let file = index.addOptimizer()
      try SharedFile.write(folder, file, optimizer.texts, optimizer.tensors, communicator)
    }
    try communicator.together("writing of the index") {
      if communicator.rank == 0 { try index.replace(in: folder) }
    }
  }

  /// The step in files' names: with a point and a digit where the folder's index names files of that step, which
  /// stay what they are until its place is taken.
  private static func mark(of step: Int, in folder: String) -> String {
    let old = (try? CheckpointIndex(folder))?.files ?? []
    let isTaken = old.contains {
      $0.hasPrefix("model-step-\(step)-") || $0 == "optimizer-step-\(step).safetensors"
    }
    return isTaken ? "\(step).1" : "\(step)"
  }

  private init(step: Int, mark: String) {
    self.step = step
    self.mark = mark
  }

  /// Lists tensors of the model and names their file.
  private mutating func add(_ tensors: [SharedTensor], _ number: Int, of count: Int) -> String {
    func digits(_ value: Int) -> String {
      let text = "\(value)"
      return String(repeating: "0", count: max(0, 5 - text.count)) + text
    }
    let file = "model-step-\(mark)-\(digits(number))-of-\(digits(count)).safetensors"
    for tensor in tensors {
      weights.append((tensor.name, file))
      totalBytes += tensor.shape.reduce(tensor.size, *)
    }
    return file
  }

  /// Names the optimiser's file.
  private mutating func addOptimizer() -> String {
    let file = "optimizer-step-\(mark).safetensors"
    optimizer = file
    return file
  }

  /// Puts this index in the place of the folder's, and removes the files of all others.
  private func replace(in folder: String) throws {
    var members = ["\"step\":\(step)", "\"total_size\":\(totalBytes)"]
    if let optimizer { members.append("\"optimizer\":\(optimizer.json)") }
    let map = weights.map { "\($0.tensor.json):\($0.file.json)" }
    let text =
      "{\"metadata\":{\(members.joined(separator: ","))},"
      + "\"weight_map\":{\(map.joined(separator: ","))}}\n"
    var file = try OutputFile(replacing: Self.path(in: folder))
    try file.write(unsafe Array(text.utf8).span.bytes)
    try file.commit(.durable)
    // Those of the checkpoint before, and of any that was never ended.
    let own = Set(files)
    for name in try Folders.names(in: folder) where Self.isOfCheckpoint(name) && !own.contains(name)
    {
      unsafe _ = unlink("\(folder)/\(name)")
    }
  }

  /// Whether a file has the name of one that `write` makes.
  private static func isOfCheckpoint(_ name: String) -> Bool {
    let parts = name.split(separator: "-", omittingEmptySubsequences: false)
    func isNumber(_ text: Substring) -> Bool {
      !text.isEmpty && text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }
    func isMark(_ text: Substring) -> Bool {
      isNumber(text.hasSuffix(".1") ? text.dropLast(2) : text)
    }
    let suffix = ".safetensors"
    guard parts.count >= 3, parts[1] == "step", let last = parts.last, last.hasSuffix(suffix) else {
      return false
    }
    let end = last.dropLast(suffix.count)
    switch parts[0] {
    case "optimizer": return parts.count == 3 && isMark(end)
    case "model":
      return parts.count == 6 && isMark(parts[2]) && isNumber(parts[3]) && parts[4] == "of"
        && isNumber(end)
    default: return false
    }
  }

  /// Where a folder's index is.
  package static func path(in folder: String) -> String { "\(folder)/\(name)" }

  /// The checkpoint's files.
  private var files: [String] { weights.map(\.file) + (optimizer.map { [$0] } ?? []) }

  // MARK: Reading

  /// Reads the index of a folder.
  package init(_ folder: String) throws {
    let path = Self.path(in: folder)
    let file = try InputFile(path)
    let root = try JSONValue(parsing: try file.bytes(at: 0, count: file.byteCount))
    func fault(_ what: String) -> DistributedError {
      .file(reason: "'\(path)': expected \(what)")
    }
    guard case .integer(let step)? = root["metadata"]?["step"], step >= 0 else {
      throw fault("a whole number 'step' in 'metadata', as checkpoints of several steps have it")
    }
    guard case .object(let members)? = root["weight_map"] else {
      throw fault("an object 'weight_map' of tensors and their files")
    }
    self.step = step
    mark = "\(step)"
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
  package func file(of tensor: String, _ folder: String) throws -> String {
    guard let found = weights.first(where: { $0.tensor == tensor }) else {
      throw SafetensorsError.missingTensor(
        path: Self.path(in: folder), expected: [tensor], found: weights.map(\.tensor))
    }
    return "\(folder)/\(found.file)"
  }

  /// The optimiser's file.
  package func optimizerFile(_ folder: String) throws -> String {
    guard let optimizer else {
      throw DistributedError.file(
        reason: "'\(Self.path(in: folder))' names no optimizer: it was saved without")
    }
    return "\(folder)/\(optimizer)"
  }

  /// What all ranks must see alike: the files' sizes and headers.
  package func facts(in folder: String) throws -> [(name: String, value: String)] {
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
