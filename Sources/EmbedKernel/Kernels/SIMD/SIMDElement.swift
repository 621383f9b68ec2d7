// Sixteen elements of a type to and from sixteen floats, in integer and float vectors of Swift: the
// portable conversions. The bits are those of `Half` and `BFloat16`.

/// An element type that vectors of Swift can load and store.
protocol SIMDElement: TableElement {
  /// The sixteen elements from `address` on, which need not be aligned.
  static func load(_ address: UnsafeRawPointer) -> SIMD16<Float>
  /// Writes sixteen elements, rounded.
  static func store(_ value: SIMD16<Float>, _ address: UnsafeMutableRawPointer)
  /// One element.
  static func loadOne(_ address: UnsafeRawPointer) -> Float
  /// Writes one element, rounded.
  static func storeOne(_ value: Float, _ address: UnsafeMutableRawPointer)
}

extension Float: SIMDElement {
  @inline(__always)
  static func load(_ address: UnsafeRawPointer) -> SIMD16<Float> {
    unsafe address.loadUnaligned(as: SIMD16<Float>.self)
  }

  @inline(__always)
  static func store(_ value: SIMD16<Float>, _ address: UnsafeMutableRawPointer) {
    unsafe address.storeBytes(of: value, as: SIMD16<Float>.self)
  }

  @inline(__always)
  static func loadOne(_ address: UnsafeRawPointer) -> Float {
    unsafe address.loadUnaligned(as: Float.self)
  }

  @inline(__always)
  static func storeOne(_ value: Float, _ address: UnsafeMutableRawPointer) {
    unsafe address.storeBytes(of: value, as: Float.self)
  }
}

extension SIMDElement where Self: HalfPrecision {
  @inline(__always)
  static func loadOne(_ address: UnsafeRawPointer) -> Float {
    Self(bitPattern: unsafe address.loadUnaligned(as: UInt16.self)).float
  }

  @inline(__always)
  static func storeOne(_ value: Float, _ address: UnsafeMutableRawPointer) {
    unsafe address.storeBytes(of: Self(value).bitPattern, as: UInt16.self)
  }

  @inline(__always)
  static func bits(_ address: UnsafeRawPointer) -> SIMD16<UInt32> {
    SIMD16<UInt32>(truncatingIfNeeded: unsafe address.loadUnaligned(as: SIMD16<UInt16>.self))
  }

  @inline(__always)
  static func store(bits: SIMD16<UInt32>, _ address: UnsafeMutableRawPointer) {
    unsafe address.storeBytes(
      of: SIMD16<UInt16>(truncatingIfNeeded: bits), as: SIMD16<UInt16>.self)
  }
}

extension BFloat16: SIMDElement {
  @inline(__always)
  static func load(_ address: UnsafeRawPointer) -> SIMD16<Float> {
    unsafe unsafeBitCast(bits(address) &<< 16, to: SIMD16<Float>.self)
  }

  @inline(__always)
  static func store(_ value: SIMD16<Float>, _ address: UnsafeMutableRawPointer) {
    let bits = unsafe unsafeBitCast(value, to: SIMD16<UInt32>.self)
    let upper = bits &>> 16
    let rounded = (bits &+ 0x7FFF &+ (upper & 1)) &>> 16
    let isNaN = (bits & 0x7FFF_FFFF) .> 0x7F80_0000
    unsafe store(bits: rounded.replacing(with: upper | 0x40, where: isNaN), address)
  }
}

extension Half: SIMDElement {
  @inline(__always)
  static func load(_ address: UnsafeRawPointer) -> SIMD16<Float> {
    let bits = unsafe bits(address)
    let magnitude = (bits & 0x7FFF) &<< 13
    // Subnormals count steps of 2^-24; the conversion is exact.
    let small = SIMD16<Float>(bits & 0x3FF) * 0x1p-24
    let special = magnitude | 0x7000_0000
    var result = magnitude &+ 0x3800_0000
    result.replace(with: special, where: magnitude .>= 0x0F80_0000)
    result.replace(with: special | 0x40_0000, where: magnitude .> 0x0F80_0000)
    result.replace(
      with: unsafe unsafeBitCast(small, to: SIMD16<UInt32>.self), where: magnitude .< 0x80_0000)
    return unsafe unsafeBitCast(result | (bits & 0x8000) &<< 16, to: SIMD16<Float>.self)
  }

  @inline(__always)
  static func store(_ value: SIMD16<Float>, _ address: UnsafeMutableRawPointer) {
    let bits = unsafe unsafeBitCast(value, to: SIMD16<UInt32>.self)
    let magnitude = bits & 0x7FFF_FFFF
    let rebased = magnitude &- 0x3800_0000
    var result = (rebased &+ 0xFFF &+ (rebased &>> 13 & 1)) &>> 13
    // Adding 0.5 rounds to the steps of 2^-24 that half's subnormals have.
    let shifted = unsafe unsafeBitCast(magnitude, to: SIMD16<Float>.self) + 0.5
    let small = unsafe unsafeBitCast(shifted, to: SIMD16<UInt32>.self) &- 0x3F00_0000
    result.replace(with: small, where: magnitude .< 0x3880_0000)
    result.replace(with: 0x7C00, where: magnitude .>= 0x4780_0000)
    result.replace(
      with: 0x7E00 | (magnitude &>> 13 & 0x3FF), where: magnitude .> 0x7F80_0000)
    unsafe store(bits: result | (bits &>> 16 & 0x8000), address)
  }
}

/// Code that is compiled for each pair of element types.
protocol TypedBody {
  func run<Input: SIMDElement, Output: SIMDElement>(_ input: Input.Type, _ output: Output.Type)
}

extension TypedBody {
  /// Runs the code of two types known at run time.
  @inline(__always)
  func run(_ input: ElementType, _ output: ElementType) {
    switch (input, output) {
    case (.float32, .float32): run(Float.self, Float.self)
    case (.float32, .float16): run(Float.self, Half.self)
    case (.float32, .bfloat16): run(Float.self, BFloat16.self)
    case (.float16, .float32): run(Half.self, Float.self)
    case (.float16, .float16): run(Half.self, Half.self)
    case (.float16, .bfloat16): run(Half.self, BFloat16.self)
    case (.bfloat16, .float32): run(BFloat16.self, Float.self)
    case (.bfloat16, .float16): run(BFloat16.self, Half.self)
    case (.bfloat16, .bfloat16): run(BFloat16.self, BFloat16.self)
    }
  }
}

/// to[i] = from[i], in vectors of Swift.
@safe struct PortableConversion: TypedBody {
  let from: UnsafeRawPointer
  let to: UnsafeMutableRawPointer
  let count: Int

  func run<Input: SIMDElement, Output: SIMDElement>(_ input: Input.Type, _ output: Output.Type) {
    let (inputBytes, outputBytes) = (MemoryLayout<Input>.size, MemoryLayout<Output>.size)
    var i = 0
    while i &+ 16 <= count {
      unsafe Output.store(Input.load(from + i &* inputBytes), to + i &* outputBytes)
      i &+= 16
    }
    while i < count {
      unsafe Output.storeOne(Input.loadOne(from + i &* inputBytes), to + i &* outputBytes)
      i &+= 1
    }
  }
}
