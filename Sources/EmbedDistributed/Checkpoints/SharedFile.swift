// A safetensors file that several ranks write at once, each its rows into their places in whole tensors.

internal import EmbedKernel

internal import CSystem

/// A tensor of which this rank has a part in memory.
@safe package struct SharedTensor {
  let name: String
  let type: SafetensorsType
  /// The whole tensor's: `[rows, dim]` or `[rows]`.
  let shape: [Int]
  let part: Part
  let bytes: UnsafeMutableRawBufferPointer
  /// The bytes of an element.
  let size: Int

  /// How the tensor is divided.
  enum Part {
    /// Not at all: every rank has it whole, and one writes it.
    case whole
    /// As the table whose rows it belongs to.
    case table(ShardedTable)
    /// Into stretches, of which this rank's begins at a byte of the whole one.
    case stretch(Int)
  }

  init(
    name: String, type: SafetensorsType, shape: [Int], _ part: Part,
    bytes: UnsafeMutableRawBufferPointer, size: Int
  ) {
    (self.name, self.type, self.shape, self.part, self.size) = (name, type, shape, part, size)
    unsafe self.bytes = bytes
  }

  /// Floats of a tensor that is divided into stretches, each element on one rank.
  ///
  /// - Parameter first: The place of this rank's first float in the whole tensor.
  @unsafe package init(
    _ name: String, shape: [Int], first: Int, _ floats: UnsafeMutableBufferPointer<Float>
  ) {
    unsafe self.init(
      name: name, type: .float32, shape: shape, .stretch(4 * first),
      bytes: UnsafeMutableRawBufferPointer(floats), size: 4)
  }

  /// Calls `body(memory, file, bytes)` for the stretches that this rank's part has in the whole tensor, with
  /// where they begin in either.
  func forEachStretch<Failure: Error>(
    _ body: (_ memory: Int, _ file: Int, _ bytes: Int) throws(Failure) -> Void
  ) throws(Failure) {
    let table: ShardedTable
    switch part {
    case .whole: return try body(0, 0, unsafe bytes.count)
    case .stretch(let first): return try body(0, first, unsafe bytes.count)
    case .table(let divided): table = divided
    }
    guard shape.count == 2 else {
      return try table.forEachRun { (local, row, count) throws(Failure) in
        try body(local * size, row * size, count * size)
      }
    }
    let (columns, rowBytes) = (table.columns, table.dim * size)
    let width = columns.count * size
    try table.forEachRun { (local, row, count) throws(Failure) in
      if width == rowBytes { return try body(local * width, row * rowBytes, count * width) }
      for i in 0..<count {
        try body(
          (local + i) * width, (row + i) * rowBytes + columns.lowerBound * size, width)
      }
    }
  }

  /// Whether all ranks have the same: one of them writes it.
  var isSame: Bool {
    switch part {
    case .whole: true
    case .stretch: false
    case .table(let table): shape.count == 1 && table.sharding == .columns
    }
  }
}

enum SharedFile {
  /// Writes a file; all ranks call with the same tensors, each with its part.
  ///
  /// - Throws: `file` on a rank that can't, `refused` on the others; what was at the path is then there still.
  static func write(
    _ folder: String, _ name: String, _ texts: [String: String], _ tensors: [SharedTensor],
    _ communicator: Communicator
  ) throws(DistributedError) {
    let path = "\(folder)/\(name)"
    let suffix = String(UInt64.random(in: .min ... .max), radix: 16)
    // A name that nobody could guess: who finds the file is on the same file system.
    let temporary = try communicator.gather("\(folder)/.embedkernel-\(suffix)")[0]
    let isFirst = communicator.rank == 0
    defer { if isFirst { unsafe _ = unlink(temporary) } }
    try communicator.together("making of \(name)") {
      if isFirst { try create(temporary, tensors, texts) }
    }
    try communicator.together("writing of \(name)") {
      try fill(temporary, tensors.filter { !$0.isSame || isFirst })
    }
    try communicator.together("naming of \(name)") {
      guard isFirst else { return }
      guard unsafe rename(temporary, path) == 0 else { throw FileError.last("rename to", path) }
    }
  }

  /// The header, and the file's whole length.
  private static func create(
    _ path: String, _ tensors: [SharedTensor], _ texts: [String: String]
  ) throws {
    let listed = tensors.map { SafetensorsTensor($0.name, $0.type, shape: $0.shape) }
    let (bytes, entries) = try SafetensorsWriter.header(path, tensors: listed, metadata: texts)
    let file = unsafe cs_open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard file >= 0 else { throw FileError.last("create", path) }
    defer { _ = close(file) }
    let length = bytes.count + (entries.last?.end ?? 0)
    guard unsafe cs_write(file, bytes, bytes.count, 0), ftruncate(file, off_t(length)) == 0 else {
      throw FileError.last("write", path)
    }
  }

  private static func fill(_ path: String, _ tensors: [SharedTensor]) throws {
    let header = try SafetensorsHeader(contentsOf: path)
    let file = unsafe cs_open(path, O_WRONLY | O_CLOEXEC, 0)
    guard file >= 0 else { throw FileError.last("open", path) }
    defer { _ = close(file) }
    for tensor in tensors {
      let entry = try header.entry(tensor.name, in: path)
      let start = header.dataOffset + entry.start
      try tensor.forEachStretch { memory, place, count in
        guard count > 0 else { return }
        let from = unsafe tensor.bytes.baseAddress.map { unsafe $0 + memory }
        guard unsafe cs_write(file, from, count, off_t(start + place)) else {
          throw FileError.last("write", path)
        }
      }
    }
    guard fsync(file) == 0 else { throw FileError.last("synchronise", path) }
  }
}
