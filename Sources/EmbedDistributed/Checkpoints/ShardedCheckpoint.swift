// A sharded layer's files: whole tensors, each rank writing its rows into their places, so that the files are
// the same bytes for any number of ranks, and everyone who reads safetensors reads them.
//
//     model.safetensors.index.json      {"metadata": {...}, "weight_map": {"wte.weight": "model-step-12-..."}}
//     model-step-12-00001-of-00002.safetensors    the token table, [V, D]
//     model-step-12-00002-of-00002.safetensors    the position table
//     optimizer-step-12.safetensors               the optimiser's arrays, in the order of the tables' rows
//
// The index takes the old one's place when all files are on the disk: whatever ends the ranks, it names
// the files of one step. The folder is on a file system that all ranks see.

internal import EmbedKernel

internal import CSystem

/// The names of the tables in files.
public struct ShardedNames: Hashable, Sendable {
  /// The token table's tensor.
  public var tokens: String
  /// The position table's tensor.
  public var positions: String

  /// GPT-2's, unless others are given.
  public init(tokens: String = "wte.weight", positions: String = "wpe.weight") {
    self.tokens = tokens
    self.positions = positions
  }
}

extension ShardedEmbedding {
  /// Writes the tables and the optimiser's state to files in a folder that exists and that all ranks see.
  ///
  /// Rows that exact-lazy AdamW left behind are brought up to date first.
  ///
  /// - Parameter optimizer: Of this layer, where training is to go on.
  /// - Throws: `file` on a rank that can't write, `refused` on the others; the checkpoint before is then whole.
  /// - Complexity: Each rank writes what it has. The files of two checkpoints are on the disk until the end.
  public func save(
    to folder: String, optimizer: ShardedOptimizer? = nil, names: ShardedNames = ShardedNames()
  ) throws(DistributedError) {
    try communicator.agree([
      ("folder", folder), ("names", "\(names)"), ("optimizer", optimizer == nil ? "no" : "yes"),
      ("steps taken", "\(history.steps)"),
    ])
    try check(names)
    let texts = ["format": "pt", "step": "\(history.steps)"]
    let state = optimizer.map { optimizer in
      let rule = optimizer.tokens.rule
      let own = ["optimizer": rule.name, "untouched": rule.untouched.rawValue]
      return (optimizer.stateTensors, texts.merging(own) { $1 })
    }
    try CheckpointIndex.write(
      to: folder, step: history.steps, weights(names).map { ([$0], texts) }, optimizer: state,
      over: communicator)
  }

  /// Two tensors of one name would be one in the index. Ranks have agreed on the names.
  private func check(_ names: ShardedNames) throws(DistributedError) {
    guard names.tokens != names.positions || positions == nil && fixedPositions == nil else {
      throw .invalid(
        .unsupported(
          argument: "name of the position table", value: names.positions,
          expected: "another than the token table's"))
    }
  }

  private func weights(_ names: ShardedNames) -> [SharedTensor] {
    // Reading the buffers brings all rows up to date.
    func tensor(_ name: String, _ table: ShardedTable) -> SharedTensor {
      unsafe SharedTensor(
        name: name, type: .float32, shape: [table.rows, table.dim], .table(table),
        bytes: UnsafeMutableRawBufferPointer(table.shard.unsafeBuffer), size: 4)
    }
    var tensors = [tensor(names.tokens, tokens)]
    if let positions { tensors.append(tensor(names.positions, positions)) }
    if let fixedPositions {
      unsafe tensors.append(
        SharedTensor(
          name: names.positions, type: .float32, shape: [fixedPositions.rows, fixedPositions.dim],
          .whole, bytes: UnsafeMutableRawBufferPointer(fixedPositions.unsafeBuffer), size: 4))
    }
    return tensors
  }

  /// Takes the values of a checkpoint, which any number of ranks wrote.
  ///
  /// - Parameter optimizer: Of this layer, where training is to go on: it then goes on bit for bit.
  /// - Throws: `file` on a rank that can't read it or where it is of other sizes, `disagreement` where ranks see
  ///   different files; the layer is then as it was, but for a state whose numbers cannot be, which leaves
  ///   the layer to be restored anew.
  public func restore(
    from folder: String, optimizer: ShardedOptimizer? = nil, names: ShardedNames = ShardedNames()
  ) throws(DistributedError) {
    var read: CheckpointIndex?
    var headers: [(name: String, value: String)] = []
    try communicator.agree([
      ("folder", folder), ("names", "\(names)"), ("optimizer", optimizer == nil ? "no" : "yes"),
    ])
    try check(names)
    try communicator.together("reading of the index") {
      let index = try CheckpointIndex(folder)
      headers = try index.facts(in: folder)
      read = index
    }
    guard let index = read else { throw .broken(operation: "reading of the index") }
    try communicator.agree(headers)
    let fixed = fixedPositions == nil ? nil : names.positions
    try communicator.together("reading of the checkpoint") {
      for tensor in weights(names) where tensor.name != fixed {
        try tensor.check(in: index.file(of: tensor.name, folder))
      }
      if let optimizer { try optimizer.check(index, folder) }
    }
    try communicator.together("reading of the checkpoint") {
      for tensor in weights(names) where tensor.name != fixed {
        try tensor.read(from: index.file(of: tensor.name, folder))
      }
      try optimizer?.restore(index, folder)
    }
    history.restart(at: index.step)
  }
}

extension SharedTensor {
  /// Checks that a file has this tensor, of this type and shape.
  func check(in path: String) throws {
    let header = try SafetensorsHeader(contentsOf: path)
    let entry = try header.entry(name, in: path)
    guard entry.type == type else {
      throw SafetensorsError.elementType(
        path: path, tensor: name, expected: type.rawValue, found: entry.type)
    }
    guard entry.shape == shape else {
      throw SafetensorsError.shape(
        path: path, tensor: name, expected: "\(shape)", found: entry.shape)
    }
  }

  /// Reads this rank's part.
  func read(from path: String) throws {
    try check(in: path)
    let file = try Safetensors(contentsOf: path)
    let whole = try file.bytes(of: name)
    unsafe whole.withUnsafeBytes { whole in
      forEachStretch { memory, place, count in
        guard count > 0, let from = whole.baseAddress, let to = unsafe bytes.baseAddress
        else { return }
        unsafe (to + memory).copyMemory(from: from + place, byteCount: count)
      }
    }
  }
}

extension ShardedOptimizer {
  private var parts: [(prefix: String, table: ShardedTable, optimizer: TableOptimizer)] {
    var parts = [(prefix: "tokens", table: layer.tokens, optimizer: tokens)]
    if let positions, let table = layer.positions { parts.append(("positions", table, positions)) }
    return parts
  }

  /// The arrays of the state as parts of whole tensors, all rows up to date.
  fileprivate var stateTensors: [SharedTensor] {
    var tensors: [SharedTensor] = []
    for (prefix, table, optimizer) in parts {
      optimizer.forEachStateArray { array, _ in
        unsafe tensors.append(
          SharedTensor(array, prefix, table, optimizer.memory(of: array)))
      }
    }
    return tensors
  }

  fileprivate func check(_ index: CheckpointIndex, _ folder: String) throws {
    let path = try index.optimizerFile(folder)
    let texts = try SafetensorsHeader(contentsOf: path).metadata
    let expected = [
      "optimizer": tokens.rule.name, "untouched": tokens.rule.untouched.rawValue,
      "step": "\(index.step)",
    ]
    for (key, value) in expected.sorted(by: { $0.key < $1.key }) where texts[key] != value {
      throw DistributedError.file(
        reason: "'\(path)': \(key) is \(texts[key] ?? "missing"): expected \(value)")
    }
    for tensor in stateTensors { try tensor.check(in: path) }
  }

  fileprivate func restore(_ index: CheckpointIndex, _ folder: String) throws {
    let path = try index.optimizerFile(folder)
    for (prefix, table, optimizer) in parts {
      try optimizer.restoreState(stepCount: index.step) { array, bytes in
        try unsafe bytes.withUnsafeMutableBytes { bytes in
          try unsafe SharedTensor(array, prefix, table, bytes).read(from: path)
        }
      }
    }
  }
}

extension SharedTensor {
  fileprivate init(
    _ array: StateArray, _ prefix: String, _ table: ShardedTable,
    _ bytes: UnsafeMutableRawBufferPointer
  ) {
    let type: SafetensorsType =
      switch array.element {
      case .float32: .float32
      case .int32: .int32
      case .int8: .int8
      case .bfloat16: .bfloat16
      }
    unsafe self.init(
      name: "\(prefix).\(array.name)", type: type,
      shape: array.shape.count == 2 ? [table.rows, table.dim] : [table.rows], .table(table),
      bytes: bytes, size: array.element.size)
  }
}
