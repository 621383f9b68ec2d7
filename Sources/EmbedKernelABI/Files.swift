// Safetensors and NumPy files behind handles. Names and shapes that C sees lie in memory that the handle's
// object keeps.

public import CEmbedKernel
internal import EmbedKernel

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

private let numPyTypes: [(code: Int, type: NumPyElementType)] = [
  (EK_DTYPE_FLOAT32, .float32), (EK_DTYPE_FLOAT16, .float16), (EK_DTYPE_BFLOAT16, .bfloat16),
  (EK_DTYPE_FLOAT64, .float64), (EK_DTYPE_INT8, .int8), (EK_DTYPE_INT16, .int16),
  (EK_DTYPE_INT32, .int32), (EK_DTYPE_INT64, .int64), (EK_DTYPE_UINT8, .uint8),
  (EK_DTYPE_UINT16, .uint16), (EK_DTYPE_UINT32, .uint32), (EK_DTYPE_UINT64, .uint64),
  (EK_DTYPE_BOOL, .bool),
]

private func unknownType(_ code: Int32) -> CallError {
  .option("dtype", value: Int(code), expected: "one of EK_DTYPE_...")
}

// MARK: Safetensors

/// An open file.
@safe final class SafetensorsObject: Handled {
  static let kind: UInt32 = 7

  let file: Safetensors
  let metadata: [(key: UnsafePointer<CChar>, value: UnsafePointer<CChar>)]
  let tensors: [ek_tensor]
  let indices: [String: Int]
  private let memory: KeptMemory

  init(_ path: String) throws {
    let memory = KeptMemory()
    let file = try Safetensors(contentsOf: path, access: .mapped)
    var tensors: [ek_tensor] = unsafe []
    var indices: [String: Int] = [:]
    for entry in file.header.tensors {
      let bytes = try file.bytes(of: entry.name)
      var tensor = unsafe ek_tensor()
      unsafe tensor.name = memory.text(entry.name)
      unsafe tensor.dtype = Int32(
        safetensorsTypes.first { $0.type == entry.type }?.code ?? EK_DTYPE_OTHER)
      unsafe tensor.rank = Int32(entry.shape.count)
      unsafe tensor.shape = memory.shape(entry.shape)
      unsafe tensor.data = bytes.withUnsafeBytes { $0.baseAddress }
      unsafe tensor.bytes = Int64(entry.byteCount)
      unsafe tensor.dtype_name = memory.text(entry.type.rawValue)
      indices[entry.name] = unsafe tensors.count
      unsafe tensors.append(tensor)
    }
    let pairs = file.header.metadata.sorted { $0.key < $1.key }
    unsafe metadata = pairs.map { unsafe (memory.text($0.key), memory.text($0.value)) }
    unsafe self.tensors = tensors
    self.indices = indices
    self.memory = memory
    self.file = file
  }
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
      throw fault(of: found.file, name)
    }
    unsafe place.pointee = found.tensors[index]
  }
}

/// Why a file has no tensor of a name: its own error names those nearest to it.
private func fault(of file: borrowing Safetensors, _ name: String) -> any Error {
  do {
    let bytes = try file.bytes(of: name)
    return CallError.missing(name, path: file.path, message: "\(name): \(bytes.byteCount) bytes")
  } catch {
    return error
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
private func shape(
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

// MARK: NumPy

/// An open array.
@safe final class NumPyObject: Handled {
  static let kind: UInt32 = 8

  /// Keeps the array's memory.
  private let owner: AnyObject
  private let memory = KeptMemory()
  let tensor: ek_tensor

  private final class Owner<Element: FileElement> {
    let array: NumPyArray<Element>
    init(_ array: consuming NumPyArray<Element>) { self.array = array }
  }

  init(_ path: String) throws {
    let header = try NumPyHeader(contentsOf: path)
    var found: (owner: AnyObject, data: UnsafeRawPointer?)
    func open<Element: FileElement>(_ type: Element.Type) throws {
      let array = try NumPyArray<Element>(contentsOf: path, access: .mapped)
      let owner = Owner(array)
      unsafe found = (
        owner,
        owner.array.withUnsafeBufferPointer { unsafe $0.baseAddress.map(UnsafeRawPointer.init) }
      )
    }
    unsafe found = (memory, nil)
    switch header.elementType {
    case .float32: try open(Float.self)
    case .float16: try open(Half.self)
    case .bfloat16: try open(BFloat16.self)
    case .float64: try open(Double.self)
    case .int8: try open(Int8.self)
    case .int16: try open(Int16.self)
    case .int32: try open(Int32.self)
    case .int64: try open(Int64.self)
    case .uint8: try open(UInt8.self)
    case .uint16: try open(UInt16.self)
    case .uint32: try open(UInt32.self)
    case .uint64: try open(UInt64.self)
    case .bool:
      throw NumPyError.unsupportedElementType(path: path, descriptor: "|b1")
    }
    var tensor = unsafe ek_tensor()
    unsafe tensor.name = memory.text("")
    unsafe tensor.dtype = Int32(
      numPyTypes.first { $0.type == header.elementType }?.code ?? EK_DTYPE_OTHER)
    unsafe tensor.rank = Int32(header.shape.count)
    unsafe tensor.shape = memory.shape(header.shape)
    unsafe tensor.data = found.data
    unsafe tensor.bytes = Int64(header.dataByteCount)
    unsafe tensor.dtype_name = memory.text("\(header.elementType)")
    unsafe self.tensor = tensor
    owner = unsafe found.owner
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_npy_open(
  _ path: UnsafePointer<CChar>?, _ file: UnsafeMutablePointer<OpaquePointer?>?,
  _ array: UnsafeMutablePointer<ek_tensor>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: file, "file")
    let described = try unsafe EmbedKernelABI.place(of: array, "array")
    let made = try NumPyObject(unsafe text(path, "path"))
    unsafe place.pointee = try makeHandle(made)
    unsafe described.pointee = made.tensor
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_npy_destroy(_ file: OpaquePointer?) { unsafe destroy(file, NumPyObject.self) }

/// Documented in embedkernel.h.
@c @implementation
public func ek_npy_write(
  _ path: UnsafePointer<CChar>?, _ data: UnsafeRawPointer?, _ dtype: Int32, _ rank: Int32,
  _ sizes: UnsafePointer<Int64>?
) -> Int32 {
  attempt {
    let path = try unsafe text(path, "path")
    let shape = try unsafe shape(sizes, rank, "shape")
    var count = 1
    for size in shape { count = try elementCount("array", count, size) }
    func write<Element: FileElement>(_ type: Element.Type) throws {
      let elements = try unsafe readable(
        data?.assumingMemoryBound(to: type), count, "data")
      try unsafe NumPyFile.write(elements, shape: shape, to: path)
    }
    switch Int(dtype) {
    case EK_DTYPE_FLOAT32: try write(Float.self)
    case EK_DTYPE_FLOAT16: try write(Half.self)
    case EK_DTYPE_BFLOAT16: try write(BFloat16.self)
    case EK_DTYPE_FLOAT64: try write(Double.self)
    case EK_DTYPE_INT8: try write(Int8.self)
    case EK_DTYPE_INT16: try write(Int16.self)
    case EK_DTYPE_INT32: try write(Int32.self)
    case EK_DTYPE_INT64: try write(Int64.self)
    case EK_DTYPE_UINT8: try write(UInt8.self)
    case EK_DTYPE_UINT16: try write(UInt16.self)
    case EK_DTYPE_UINT32: try write(UInt32.self)
    case EK_DTYPE_UINT64: try write(UInt64.self)
    default: throw unknownType(dtype)
    }
  }
}
