// Safetensors files behind handles, one or the shards of an index. Names and shapes that C sees lie in memory that the handle's
// object keeps.

public import CEmbedKernel
internal import EmbedKernel
internal import EmbedModels

/// Memory for texts and shapes, released with its object.
@safe final class KeptMemory {
  private var blocks = unsafe [UnsafeMutableRawPointer]()

  deinit { for i in 0..<count { unsafe blocks[i].deallocate() } }

  private var count: Int { unsafe blocks.count }

  func text(_ text: String) -> UnsafePointer<CChar> {
    let bytes = Array(text.utf8)
    let memory = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count + 1)
    for (i, byte) in bytes.enumerated() { unsafe memory[i] = CChar(bitPattern: byte) }
    unsafe memory[bytes.count] = 0
    unsafe blocks.append(UnsafeMutableRawPointer(memory))
    return unsafe UnsafePointer(memory)
  }

  func shape(_ shape: [Int]) -> UnsafePointer<Int64> {
    let memory = UnsafeMutablePointer<Int64>.allocate(capacity: max(shape.count, 1))
    for (i, size) in shape.enumerated() { unsafe memory[i] = Int64(size) }
    unsafe blocks.append(UnsafeMutableRawPointer(memory))
    return unsafe UnsafePointer(memory)
  }
}

// MARK: Element types

/// The types of files by the numbers that C has for them.
private let safetensorsTypes: [(code: Int, type: SafetensorsType)] = [
  (EK_DTYPE_FLOAT32, .float32), (EK_DTYPE_FLOAT16, .float16), (EK_DTYPE_BFLOAT16, .bfloat16),
  (EK_DTYPE_FLOAT64, .float64), (EK_DTYPE_INT8, .int8), (EK_DTYPE_INT16, .int16),
  (EK_DTYPE_INT32, .int32), (EK_DTYPE_INT64, .int64), (EK_DTYPE_UINT8, .uint8),
  (EK_DTYPE_UINT16, .uint16), (EK_DTYPE_UINT32, .uint32), (EK_DTYPE_UINT64, .uint64),
  (EK_DTYPE_BOOL, .bool),
]

func unknownType(_ code: Int32) -> CallError {
  .option("dtype", value: Int(code), expected: "one of EK_DTYPE_...")
}

// MARK: Safetensors

/// An open file, or the files that an index lists.
@safe final class SafetensorsObject: Handled {
  static let kind: UInt32 = 7

  let path: String
  let metadata: [(key: UnsafePointer<CChar>, value: UnsafePointer<CChar>)]
  let tensors: [ek_tensor]
  let names: [String]
  let indices: [String: Int]
  private let files: [OpenFile]
  private let memory: KeptMemory

  /// A file for as long as the object lives.
  fileprivate final class OpenFile {
    let file: Safetensors
    init(_ path: String) throws { file = try Safetensors(contentsOf: path, access: .mapped) }
  }

  /// The tensors of a file by name, each name once.
  private struct Contents {
    let file: OpenFile
    let entries: [String: SafetensorsEntry]

    init(_ path: String) throws {
      file = try OpenFile(path)
      entries = Dictionary(file.file.header.tensors.map { ($0.name, $0) }) { first, _ in first }
    }
  }

  init(_ given: String) throws {
    let memory = KeptMemory()
    let model = try SafetensorsModel(contentsOf: given)
    var shards: [String: Contents] = [:]
    var order: [Contents] = []
    var tensors: [ek_tensor] = unsafe []
    var indices: [String: Int] = [:]
    for name in model.names {
      let path = try model.file(of: name)
      let shard: Contents
      if let open = shards[path] {
        shard = open
      } else {
        shard = try Contents(path)
        shards[path] = shard
        order.append(shard)
      }
      guard let entry = shard.entries[name] else {
        throw SafetensorsError.missingTensor(
          path: path, expected: [name], found: shard.file.file.names)
      }
      indices[name] = unsafe tensors.count
      unsafe tensors.append(try tensor(entry, shard.file, memory))
    }
    if order.isEmpty, !model.path.hasSuffix(".json") { order.append(try Contents(model.path)) }
    // What shards say alike, and what one of them says alone.
    var pairs: [String: String?] = [:]
    for shard in order {
      for (key, value) in shard.file.file.header.metadata {
        if let said = pairs[key], said != value {
          pairs[key] = .some(nil)
        } else {
          pairs[key] = value
        }
      }
    }
    let agreed = pairs.compactMap { key, value in value.map { (key, $0) } }.sorted { $0.0 < $1.0 }
    unsafe metadata = agreed.map { unsafe (memory.text($0.0), memory.text($0.1)) }
    unsafe self.tensors = tensors
    self.indices = indices
    self.memory = memory
    names = model.names
    path = model.path
    files = order.map(\.file)
  }
}

/// Where a tensor lies, for as long as its file is open.
private func address(of name: String, in file: borrowing Safetensors) throws -> UnsafeRawPointer? {
  let bytes = try file.bytes(of: name)
  return unsafe bytes.withUnsafeBytes { $0.baseAddress }
}

/// An entry as C sees it.
private func tensor(
  _ entry: SafetensorsEntry, _ file: borrowing SafetensorsObject.OpenFile, _ memory: KeptMemory
) throws -> ek_tensor {
  var tensor = unsafe ek_tensor()
  unsafe tensor.name = memory.text(entry.name)
  unsafe tensor.dtype = Int32(
    safetensorsTypes.first { $0.type == entry.type }?.code ?? EK_DTYPE_OTHER)
  unsafe tensor.rank = Int32(entry.shape.count)
  unsafe tensor.shape = memory.shape(entry.shape)
  unsafe tensor.data = try address(of: entry.name, in: file.file)
  unsafe tensor.bytes = Int64(entry.byteCount)
  unsafe tensor.dtype_name = memory.text(entry.type.rawValue)
  return unsafe tensor
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_safetensors_open(
  _ path: UnsafePointer<CChar>?, _ file: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: file, "file")
    unsafe place.pointee = try makeHandle(SafetensorsObject(text(path, "path")))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_safetensors_count(_ file: OpaquePointer?, _ count: UnsafeMutablePointer<Int64>?)
  -> Int32
{
  attempt {
    let found: SafetensorsObject = try unsafe object(file, "file")
    try unsafe place(of: count, "count").pointee = Int64(found.tensors.count)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_safetensors_tensor(
  _ file: OpaquePointer?, _ index: Int64, _ tensor: UnsafeMutablePointer<ek_tensor>?
) -> Int32 {
  attempt {
    let found: SafetensorsObject = try unsafe object(file, "file")
    let place = try unsafe place(of: tensor, "tensor")
    let tensors = unsafe found.tensors
    guard index >= 0, unsafe index < tensors.count else {
      throw CallError.index("index", value: Int(index), count: unsafe tensors.count)
    }
    unsafe place.pointee = tensors[Int(index)]
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_safetensors_find(
  _ file: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ tensor: UnsafeMutablePointer<ek_tensor>?
) -> Int32 {
  attempt {
    let found: SafetensorsObject = try unsafe object(file, "file")
    let place = try unsafe place(of: tensor, "tensor")
    let name = try unsafe text(name, "name")
    guard let index = found.indices[name] else {
      throw SafetensorsError.missingTensor(path: found.path, expected: [name], found: found.names)
    }
    unsafe place.pointee = found.tensors[index]
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_safetensors_metadata_count(
  _ file: OpaquePointer?, _ count: UnsafeMutablePointer<Int64>?
) -> Int32 {
  attempt {
    let found: SafetensorsObject = try unsafe object(file, "file")
    try unsafe place(of: count, "count").pointee = Int64(found.metadata.count)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_safetensors_metadata(
  _ file: OpaquePointer?, _ index: Int64, _ key: UnsafeMutablePointer<UnsafePointer<CChar>?>?,
  _ value: UnsafeMutablePointer<UnsafePointer<CChar>?>?
) -> Int32 {
  attempt {
    let found: SafetensorsObject = try unsafe object(file, "file")
    let (key, value) = try unsafe (place(of: key, "key"), place(of: value, "value"))
    let pairs = unsafe found.metadata
    guard index >= 0, unsafe index < pairs.count else {
      throw CallError.index("index", value: Int(index), count: unsafe pairs.count)
    }
    unsafe (key.pointee, value.pointee) = pairs[Int(index)]
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_safetensors_destroy(_ file: OpaquePointer?) {
  unsafe destroy(file, SafetensorsObject.self)
}

/// The shape of an array of C's.
func shape(
  _ sizes: UnsafePointer<Int64>?, _ rank: Int32, _ name: StaticString
) throws -> [Int] {
  guard rank >= 0, rank <= mostDimensions else {
    throw EmbedError.invalidSize(
      argument: "rank", value: Int(rank), expected: "0...\(mostDimensions)")
  }
  return try unsafe readable(sizes, Int(rank), name).map { size in
    guard size >= 0 else {
      throw EmbedError.invalidSize(
        argument: "\(name)", value: Int(size), expected: "sizes of 0 or more")
    }
    return Int(size)
  }
}

private let mostDimensions: Int32 = 64

/// Documented in embedkernel.h.
@c @implementation
public func ek_safetensors_write(
  _ path: UnsafePointer<CChar>?, _ tensors: UnsafePointer<ek_tensor>?, _ count: Int64,
  _ metadata: UnsafePointer<UnsafePointer<CChar>?>?, _ metadataCount: Int64
) -> Int32 {
  attempt {
    let path = try unsafe text(path, "path")
    let given = try unsafe readable(tensors, EmbedKernelABI.count(count, "count"), "tensors")
    var listed: [SafetensorsTensor] = []
    for i in 0..<given.count {
      let tensor = unsafe given[i]
      let name = try unsafe text(tensor.name, "name")
      let code = unsafe tensor.dtype
      let bytes = try unsafe EmbedKernelABI.count(tensor.bytes, "bytes")
      let type: SafetensorsType
      if Int(code) == EK_DTYPE_OTHER {
        type = SafetensorsType(rawValue: try unsafe text(tensor.dtype_name, "dtype_name"))
      } else if let known = safetensorsTypes.first(where: { $0.code == Int(code) }) {
        type = known.type
      } else {
        throw unknownType(code)
      }
      let entry = try unsafe SafetensorsTensor(
        name, type, shape: shape(tensor.shape, tensor.rank, "shape"),
        byteCount: type.byteCount == nil ? bytes : nil)
      if let size = type.byteCount {
        var expected = size
        for dimension in entry.shape {
          expected = try elementCount("tensor \(name)", expected, dimension)
        }
        guard bytes == expected else {
          throw EmbedError.wrongElementCount(
            argument: "bytes of \(name)", expected: expected, shape: entry.shape, actual: bytes)
        }
      }
      try unsafe checkAddress(tensor.data, bytes, mask: 0, "data")
      listed.append(entry)
    }
    let pairs = try EmbedKernelABI.count(metadataCount, "metadata_count")
    let texts = try unsafe readable(metadata, product("metadata", pairs, 2), "metadata")
    var entries: [String: String] = [:]
    for i in 0..<pairs {
      let key = try unsafe text(texts[2 * i], "metadata")
      guard
        entries.updateValue(try unsafe text(texts[2 * i + 1], "metadata"), forKey: key) == nil
      else {
        throw EmbedError.unsupported(
          argument: "metadata", value: key, expected: "each key once")
      }
    }
    var writer = try SafetensorsWriter(path, tensors: listed, metadata: entries)
    for (i, tensor) in listed.enumerated() {
      let bytes = unsafe UnsafeRawBufferPointer(
        start: given[i].data, count: Int(given[i].bytes))
      try writer.write(tensor.name, bytes: unsafe RawSpan(_unsafeBytes: bytes))
    }
    try writer.commit()
  }
}
