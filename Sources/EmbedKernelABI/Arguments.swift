// What comes from C, checked: pointers, element types, numbers of enumerations, structs of options.

internal import CEmbedKernel
internal import EmbedKernel

// MARK: Pointers

/// An address with `count` elements behind it; nil is allowed where there are none.
@inline(__always)
func checkAddress(
  _ address: UnsafeRawPointer?, _ count: Int, mask: UInt, _ name: StaticString
) throws {
  let bits = UInt(bitPattern: address)
  if bits == 0 ? count > 0 : bits & mask != 0 {
    throw CallError.pointer("\(name)", fault: bits == 0 ? "NULL" : "not aligned for its type")
  }
}

/// The caller's elements, for reading.
@inline(__always)
func readable<Element>(
  _ address: UnsafePointer<Element>?, _ count: Int, _ name: StaticString
) throws -> UnsafeBufferPointer<Element> {
  let mask = UInt(MemoryLayout<Element>.alignment - 1)
  try unsafe checkAddress(UnsafeRawPointer(address), count, mask: mask, name)
  return unsafe UnsafeBufferPointer(start: address, count: address == nil ? 0 : count)
}

/// The caller's elements, for writing.
@inline(__always)
func writable<Element>(
  _ address: UnsafeMutablePointer<Element>?, _ count: Int, _ name: StaticString
) throws -> UnsafeMutableBufferPointer<Element> {
  let mask = UInt(MemoryLayout<Element>.alignment - 1)
  try unsafe checkAddress(UnsafeRawPointer(address), count, mask: mask, name)
  return unsafe UnsafeMutableBufferPointer(start: address, count: address == nil ? 0 : count)
}

/// Where a result goes.
@inline(__always)
func place<Element>(
  of address: UnsafeMutablePointer<Element>?, _ name: StaticString
) throws -> UnsafeMutablePointer<Element> {
  _ = try unsafe writable(address, 1, name)
  return unsafe address.unsafelyUnwrapped
}

/// A text of the caller's.
func text(_ characters: UnsafePointer<CChar>?, _ name: StaticString) throws -> String {
  guard let characters = unsafe characters else {
    throw CallError.pointer("\(name)", fault: "NULL")
  }
  guard let text = unsafe String(validatingCString: characters) else {
    throw CallError.text("\(name)")
  }
  return text
}

/// Copies a text to the caller's memory, with its closing 0.
func give(
  _ text: String, _ memory: UnsafeMutablePointer<CChar>?, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>?, _ name: StaticString
) throws {
  var text = text
  try text.withUTF8 { bytes in
    if let length = unsafe length { try unsafe place(of: length, "length").pointee = bytes.count }
    let room = unsafe memory == nil ? 0 : capacity
    guard bytes.count < room, let memory = unsafe memory else {
      throw CallError.room("\(name)", needed: bytes.count + 1, capacity: room)
    }
    unsafe UnsafeMutableRawBufferPointer(start: memory, count: bytes.count)
      .copyMemory(from: UnsafeRawBufferPointer(bytes))
    unsafe memory[bytes.count] = 0
  }
}

/// A struct of options, or the defaults where there is none.
@inline(__always)
func options<Options>(
  _ address: UnsafePointer<Options>?, _ name: StaticString, _ defaults: @autoclosure () -> Options
) throws -> Options {
  guard let address = unsafe address else { return defaults() }
  return try unsafe required(address, name)
}

/// A struct of options that there must be. Later versions that add fields take the shorter struct too.
@inline(__always)
func required<Options>(
  _ address: UnsafePointer<Options>?, _ name: StaticString
) throws -> Options {
  try unsafe checkAddress(
    UnsafeRawPointer(address), 1, mask: UInt(MemoryLayout<Options>.alignment - 1), name)
  let options = unsafe address.unsafelyUnwrapped
  let size = unsafe UnsafeRawPointer(options).load(as: Int.self)
  guard size == MemoryLayout<Options>.stride else {
    throw CallError.option(
      "\(name).struct_size", value: size,
      expected: "\(MemoryLayout<Options>.stride), as the struct's INIT macro says")
  }
  return unsafe options.pointee
}

// MARK: Elements

/// A product of sizes as a number of elements. What is negative counts as none: the engine names it.
@inline(__always)
func product(_ name: @autoclosure () -> String, _ a: Int, _ b: Int, _ c: Int = 1) throws -> Int {
  a < 0 || b < 0 || c < 0 ? 0 : try elementCount(name(), a, b, c)
}

@inline(__always)
func elementType(_ dtype: Int32, _ name: StaticString) throws -> ElementType {
  switch dtype {
  case Int32(EK_DTYPE_FLOAT32): return .float32
  case Int32(EK_DTYPE_FLOAT16): return .float16
  case Int32(EK_DTYPE_BFLOAT16): return .bfloat16
  default:
    throw CallError.option("\(name)", value: Int(dtype), expected: "FLOAT32, FLOAT16 or BFLOAT16")
  }
}

extension ElementType {
  /// The number C has for it.
  var code: Int32 {
    switch self {
    case .float32: Int32(EK_DTYPE_FLOAT32)
    case .float16: Int32(EK_DTYPE_FLOAT16)
    case .bfloat16: Int32(EK_DTYPE_BFLOAT16)
    }
  }

  /// Swift's type of a table's elements.
  var tableElement: any TableElement.Type {
    switch self {
    case .float32: Float.self
    case .float16: Half.self
    case .bfloat16: BFloat16.self
    }
  }
}

/// Elements of one of the three types.
@inline(__always)
func elements(
  _ address: UnsafeRawPointer?, _ type: ElementType, _ count: Int, _ name: StaticString
) throws -> Elements {
  try unsafe checkAddress(address, count, mask: UInt(type.byteCount - 1), name)
  return unsafe Elements(base: address, count: count, type: type)
}

/// Token ids of either width.
@inline(__always)
func tokenIDs(
  _ address: UnsafeRawPointer?, _ dtype: Int32, _ count: Int, _ name: StaticString
) throws -> TokenIDs {
  let isWide = dtype == Int32(EK_DTYPE_INT64)
  guard isWide || dtype == Int32(EK_DTYPE_INT32) else {
    throw CallError.option("type of \(name)", value: Int(dtype), expected: "INT32 or INT64")
  }
  try unsafe checkAddress(address, count, mask: isWide ? 7 : 3, name)
  return unsafe TokenIDs(base: address, count: count, isWide: isWide)
}

/// A number of elements that is not negative, and that memory can have.
func count(_ count: Int64, _ name: StaticString) throws -> Int {
  guard count >= 0 else {
    throw EmbedError.invalidSize(argument: "\(name)", value: Int(count), expected: "0 or more")
  }
  return try elementCount("\(name)", Int(count), 1)
}

// MARK: Choices

/// What one of a list of choices stands for, by its number.
@inline(__always)
func choice<Choice>(
  _ number: Int32, _ choices: Choice..., name: StaticString
) throws -> Choice {
  guard number >= 0, number < choices.count else {
    throw CallError.option("\(name)", value: Int(number), expected: "0...\(choices.count - 1)")
  }
  return choices[Int(number)]
}

@inline(__always)
func unknownIDs(_ number: Int32) throws -> UnknownIDs {
  if number == Int32(EK_UNKNOWN_ERROR) { return .error }
  return try choice(number, .error, .clamp, .zeroRow, name: "unknown_ids")
}

@inline(__always)
func positionOverflow(_ number: Int32) throws -> PositionOverflow {
  if number == Int32(EK_OVERFLOW_ERROR) { return .error }
  return try choice(number, .error, .clamp, name: "position_overflow")
}

/// The backend and the threads of a call.
@inline(__always)
func kernels(_ backend: Int32, _ threads: Int32) throws -> Kernels {
  let threads = threads == 0 ? ekc_default_threads() : threads
  if backend | threads == 0 { return .auto }
  guard threads >= 0 else {
    throw EmbedError.invalidSize(argument: "threads", value: Int(threads), expected: "0 or more")
  }
  var kernels = Kernels(threads: threads == 0 ? nil : Int(threads))
  switch Int(backend) {
  case EK_BACKEND_AUTO: break
  case EK_BACKEND_NATIVE: kernels.backend = .native
  case EK_BACKEND_SIMD: kernels.backend = .simd
  case EK_BACKEND_OPENBLAS: kernels.backend = .openBLAS
  default:
    throw CallError.option("backend", value: Int(backend), expected: "one of EK_BACKEND_...")
  }
  return kernels
}

/// An id that there may be.
func optionalID(_ id: Int64, _ name: StaticString) throws -> Int? {
  guard id >= -1 else {
    throw EmbedError.invalidSize(argument: "\(name)", value: Int(id), expected: "an id, or -1")
  }
  return id < 0 ? nil : Int(id)
}
