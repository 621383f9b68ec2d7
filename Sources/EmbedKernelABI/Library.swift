// The library itself: its versions, the machine, threads, and the pool of buffers.

public import CEmbedKernel
internal import EmbedKernel

/// Documented in embedkernel.h.
@c @implementation
public func ek_abi_version() -> Int32 { Int32(EK_ABI_VERSION) }

/// Documented in embedkernel.h.
@c @implementation
public func ek_version() -> UnsafePointer<CChar>? { unsafe UnsafePointer(version) }

/// The version as C reads it; never released.
private nonisolated(unsafe) let version: UnsafeMutablePointer<CChar> = {
  let text = UnsafeMutableBufferPointer<CChar>.allocate(
    capacity: Release.version.utf8.count + 1)
  unsafe text.initialize(repeating: 0)
  for (i, byte) in Release.version.utf8.enumerated() {
    unsafe text[i] = CChar(bitPattern: byte)
  }
  return unsafe text.baseAddress.unsafelyUnwrapped
}()

/// Documented in embedkernel.h.
@c @implementation
public func ek_cpu_count() -> Int32 { Int32(clamping: Threads.available) }

/// Documented in embedkernel.h.
@c @implementation
public func ek_set_threads(_ threads: Int32) -> Int32 {
  attempt {
    guard threads >= 0 else {
      throw EmbedError.invalidSize(argument: "threads", value: Int(threads), expected: "0 or more")
    }
    ekc_set_default_threads(threads)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_threads() -> Int32 { ekc_default_threads() }

/// Documented in embedkernel.h.
@c @implementation
public func ek_describe(
  _ text: UnsafeMutablePointer<CChar>?, _ capacity: Int, _ length: UnsafeMutablePointer<Int>?
) -> Int32 {
  attempt {
    let available = InstructionSet.allCases.filter(\.isAvailable).map(\.rawValue)
    let description = """
      EmbedKernel \(Release.version), interface \(EK_ABI_VERSION)
      CPUs: \(Threads.available)
      instruction set: \(try InstructionSet.ofProcess.rawValue), of \(available.joined(separator: ", "))
      OpenBLAS: \(OpenBLASLibrary.configuration)
      """
    try unsafe give(description, text, capacity, length, "text")
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_dtype_size(_ dtype: Int32) -> Int {
  switch Int(dtype) {
  case EK_DTYPE_INT8, EK_DTYPE_UINT8, EK_DTYPE_BOOL: 1
  case EK_DTYPE_FLOAT16, EK_DTYPE_BFLOAT16, EK_DTYPE_INT16, EK_DTYPE_UINT16: 2
  case EK_DTYPE_FLOAT32, EK_DTYPE_INT32, EK_DTYPE_UINT32: 4
  case EK_DTYPE_FLOAT64, EK_DTYPE_INT64, EK_DTYPE_UINT64: 8
  default: 0
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_convert(
  _ input: UnsafeRawPointer?, _ inputType: Int32, _ output: UnsafeMutableRawPointer?,
  _ outputType: Int32, _ count: Int64
) -> Int32 {
  attempt {
    let count = try EmbedKernelABI.count(count, "count")
    let bytes = try elementCount("elements", count, 4)
    let (from, to) = (
      try elementType(inputType, "input_dtype"), try elementType(outputType, "output_dtype")
    )
    _ = try unsafe elements(input, from, count, "input")
    _ = try unsafe elements(output, to, count, "output")
    guard bytes > 0 else { return }
    try unsafe kernels(0, 0).convert(
      UnsafeRawBufferPointer(start: input, count: count * from.byteCount), from, count,
      UnsafeMutableRawBufferPointer(start: output, count: count * to.byteCount), to, count)
  }
}

// MARK: Buffers

/// From here on the system is asked whether it has the memory.
private let largeBuffer = 2 << 20

/// Documented in embedkernel.h.
@c @implementation
public func ek_buffer_take(
  _ bytes: Int, _ buffer: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe EmbedKernelABI.place(of: buffer, "buffer")
    if let found = unsafe ekc_buffer_reuse(bytes) {
      unsafe place.pointee = found
      return
    }
    let size = ekc_buffer_size(bytes)
    guard size > 0 else { throw EmbedError.outOfMemory(bytes: bytes) }
    if size >= largeBuffer, !SystemMemory.has(size) {
      _ = ekc_buffers_trim(0)
      try SystemMemory.check(size)
    }
    var made = unsafe ekc_buffer_make(bytes)
    if unsafe made == nil {
      _ = ekc_buffers_trim(0)
      unsafe made = ekc_buffer_make(bytes)
    }
    guard let made = unsafe made else { throw EmbedError.outOfMemory(bytes: size) }
    unsafe place.pointee = made
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_buffer_give_back(_ buffer: UnsafeMutableRawPointer?) -> Int32 {
  guard let buffer = unsafe buffer else { return 0 }
  if unsafe ekc_buffer_return(buffer) { return 0 }
  return tell(CallError.pointer("buffer", fault: "no buffer that is taken"))
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_buffers_get_info(_ info: UnsafeMutablePointer<ek_buffers_info>?) -> Int32 {
  attempt { try unsafe ekc_buffers_describe(place(of: info, "info")) }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_buffers_set_limit(_ bytes: UInt64) -> Int32 {
  ekc_buffers_limit(bytes)
  return 0
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_buffers_empty(_ released: UnsafeMutablePointer<UInt64>?) -> Int32 {
  attempt {
    if unsafe released != nil { _ = try unsafe place(of: released, "released") }
    Workspace.releaseKept()
    let bytes = ekc_buffers_trim(0)
    if let released = unsafe released { unsafe released.pointee = bytes }
  }
}
