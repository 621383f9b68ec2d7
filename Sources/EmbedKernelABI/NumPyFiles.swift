// NumPy files behind handles.

public import CEmbedKernel
internal import EmbedKernel

/// The types of files by the numbers that C has for them.
private let numPyTypes: [(code: Int, type: NumPyElementType)] = [
  (EK_DTYPE_FLOAT32, .float32), (EK_DTYPE_FLOAT16, .float16), (EK_DTYPE_BFLOAT16, .bfloat16),
  (EK_DTYPE_FLOAT64, .float64), (EK_DTYPE_INT8, .int8), (EK_DTYPE_INT16, .int16),
  (EK_DTYPE_INT32, .int32), (EK_DTYPE_INT64, .int64), (EK_DTYPE_UINT8, .uint8),
  (EK_DTYPE_UINT16, .uint16), (EK_DTYPE_UINT32, .uint32), (EK_DTYPE_UINT64, .uint64),
  (EK_DTYPE_BOOL, .bool),
]

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
    // Any byte is a valid one.
    case .bool: try open(UInt8.self)
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
    func write<Element: FileElement>(
      _ type: Element.Type, as stored: NumPyElementType? = nil
    ) throws {
      let elements = try unsafe readable(
        data?.assumingMemoryBound(to: type), count, "data")
      try unsafe NumPyFile.write(
        bytes: RawSpan(_unsafeElements: elements), of: stored ?? type.numPyType, shape: shape,
        to: path)
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
    case EK_DTYPE_BOOL: try write(UInt8.self, as: .bool)
    default: throw unknownType(dtype)
    }
  }
}
