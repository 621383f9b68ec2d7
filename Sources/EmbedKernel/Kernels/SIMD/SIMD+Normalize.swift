// The fused layer of the pure Swift backend, forward: 32 lanes of sums as two vectors of 16, in the
// order that the C microkernels state, so that the bits are theirs.

extension SIMDKernels: NormalizeTileKernels {
  static func normalize(_ tile: EmbedTile, _ pass: NormalizePass, gathered: Bool, _ plan: Plan) {
    switch pass.norm.kind {
    case .none: normalize(tile, pass, gathered: gathered, .none)
    case .layer: normalize(tile, pass, gathered: gathered, .layer)
    case .rootMeanSquare: normalize(tile, pass, gathered: gathered, .rootMeanSquare)
    }
  }

  @inline(__always)
  private static func normalize(
    _ tile: EmbedTile, _ pass: NormalizePass, gathered: Bool, _ kind: NormKind
  ) {
    let (dim, norm, mask) = (tile.dim, pass.norm, pass.dropout)
    let groups = (dim &+ 63) / 64
    tile.forEachToken { token, place in
      let row = NormRow(tile, pass, token, place, gathered: gathered)
      let statistics = row.measure(kind, norm.epsilon)
      let output = unsafe tile.output + token &* dim
      var words = MaskWords()
      forEachVector(dim) { i, n in
        var y = statistics.normal(row.x(i, n), kind)
        if kind != .none {
          unsafe y *= load(norm.gamma.unsafelyUnwrapped, i, n)
          if let beta = unsafe norm.beta { unsafe y += load(beta, i, n) }
        }
        if mask.threshold != 0 {
          if i & 63 == 0 { words = MaskWords(mask, group: token &* groups &+ i / 64) }
          y = words.keep(y, i, mask)
        }
        unsafe save(y, output, i, n)
      }
    }
  }

  /// Calls `body` for the vectors of a row: where each starts, and how many floats it has.
  @inline(__always)
  static func forEachVector(_ dim: Int, _ body: (_ i: Int, _ n: Int) -> Void) {
    var i = 0
    while i &+ 16 <= dim {
      body(i, 16)
      i &+= 16
    }
    if i < dim { body(i, dim &- i) }
  }

  /// The `n` floats at `i`, zeros after them.
  @inline(__always)
  static func load(_ row: UnsafePointer<Float>, _ i: Int, _ n: Int) -> SIMD16<Float> {
    if n == 16 { return unsafe UnsafeRawPointer(row + i).loadUnaligned(as: SIMD16<Float>.self) }
    var result = SIMD16<Float>()
    for k in 0..<n { unsafe result[k] = row[i &+ k] }
    return result
  }

  @inline(__always)
  static func save(
    _ value: SIMD16<Float>, _ row: UnsafeMutablePointer<Float>, _ i: Int, _ n: Int
  ) {
    if n == 16 {
      unsafe UnsafeMutableRawPointer(row + i).storeBytes(of: value, as: SIMD16<Float>.self)
    } else {
      for k in 0..<n { unsafe row[i &+ k] = value[k] }
    }
  }
}

/// Where a row's x comes from.
@safe struct NormRow {
  let token: UnsafePointer<Float>
  let position: UnsafePointer<Float>?
  let segment: UnsafePointer<Float>?
  let scale: Float
  let dim: Int

  @inline(__always)
  init(_ tile: EmbedTile, _ pass: NormalizePass, _ token: Int, _ place: Int, gathered: Bool) {
    dim = tile.dim
    if gathered {
      unsafe self.token = UnsafePointer(tile.output + token &* tile.dim)
      unsafe position = nil
      unsafe segment = nil
      scale = 1
    } else {
      unsafe self.token = tile.tokens + tile.ids[token] &* tile.dim
      unsafe position = tile.positionRow(place)
      unsafe segment = pass.segments.map { unsafe $0 + pass.segment(token) &* tile.dim }
      scale = tile.scale
    }
  }

  /// x at `i`; the lanes past `n` are 0.
  @inline(__always)
  func x(_ i: Int, _ n: Int) -> SIMD16<Float> {
    var x = unsafe SIMDKernels.load(token, i, n)
    if scale != 1 { x *= scale }
    if let position = unsafe position { unsafe x += SIMDKernels.load(position, i, n) }
    if let segment = unsafe segment { unsafe x += SIMDKernels.load(segment, i, n) }
    return x
  }

  @inline(__always)
  func measure(_ kind: NormKind, _ epsilon: Float) -> NormStatistics {
    var result = NormStatistics(mean: 0, reciprocal: 1)
    if kind == .none { return result }
    if kind == .layer {
      var sums = LaneSums()
      SIMDKernels.forEachVector(dim) { i, n in sums.add(x(i, n), i, n) }
      result.mean = sums.total / Float(dim)
    }
    var sums = LaneSums()
    SIMDKernels.forEachVector(dim) { i, n in
      var x = x(i, n)
      if kind == .layer { x -= result.mean }
      sums.add(x * x, i, n)
    }
    result.reciprocal = 1 / (sums.total / Float(dim) + epsilon).squareRoot()
    return result
  }
}

/// What a row is normalised by.
struct NormStatistics {
  var mean: Float
  var reciprocal: Float

  @inline(__always)
  func normal(_ x: SIMD16<Float>, _ kind: NormKind) -> SIMD16<Float> {
    switch kind {
    case .none: x
    case .layer: (x - mean) * reciprocal
    case .rootMeanSquare: x * reciprocal
    }
  }
}

/// Thirty-two sums: lane l has elements l, l + 32, ...
struct LaneSums {
  private var low = SIMD16<Float>()
  private var high = SIMD16<Float>()

  /// Adds the `n` values of the elements from `i` on.
  @inline(__always)
  mutating func add(_ values: SIMD16<Float>, _ i: Int, _ n: Int) {
    var values = values
    if n < 16 { for k in n..<16 { values[k] = 0 } }
    if i & 16 == 0 { low += values } else { high += values }
  }

  /// Each half added to the other until one lane is left.
  @inline(__always)
  var total: Float {
    let a = low + high
    let b = a.lowHalf + a.highHalf
    let c = b.lowHalf + b.highHalf
    let d = c.lowHalf + c.highHalf
    return d.x + d.y
  }
}

/// The Philox words of 64 neighbouring elements.
struct MaskWords {
  private var words = (
    SIMD16<UInt32>(), SIMD16<UInt32>(), SIMD16<UInt32>(), SIMD16<UInt32>()
  )

  init() {}

  /// Draws group `group`, counted over all rows: sixteen blocks at once.
  @inline(__always)
  init(_ mask: DropoutMask, group: Int) {
    let block = UInt64(group) &* 16
    let lanes = SIMD16<UInt32>(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    var c0 = lanes &+ UInt32(truncatingIfNeeded: block)
    var c1 = SIMD16(repeating: UInt32(truncatingIfNeeded: block >> 32))
    var c2 = SIMD16(repeating: UInt32(truncatingIfNeeded: mask.stream))
    var c3 = SIMD16(repeating: UInt32(truncatingIfNeeded: mask.stream >> 32))
    var k0 = UInt32(truncatingIfNeeded: mask.key)
    var k1 = UInt32(truncatingIfNeeded: mask.key >> 32)
    for _ in 0..<10 {
      let a = Self.product(c0, 0xD251_1F53)
      let b = Self.product(c2, 0xCD9E_8D57)
      (c0, c1, c2, c3) = (b.high ^ c1 ^ k0, b.low, a.high ^ c3 ^ k1, a.low)
      k0 &+= 0x9E37_79B9
      k1 &+= 0xBB67_AE85
    }
    words = (c0, c1, c2, c3)
  }

  /// `value`, the elements from `i` on, scaled where it is kept and 0 elsewhere.
  @inline(__always)
  func keep(_ value: SIMD16<Float>, _ i: Int, _ mask: DropoutMask) -> SIMD16<Float> {
    let word =
      switch i & 63 {
      case 0: words.0
      case 16: words.1
      case 32: words.2
      default: words.3
      }
    return (value * mask.scale).replacing(with: 0, where: word .< mask.threshold)
  }

  /// The halves of 32-bit products, from products of the even and of the odd lanes.
  @inline(__always)
  private static func product(
    _ a: SIMD16<UInt32>, _ by: UInt64
  ) -> (high: SIMD16<UInt32>, low: SIMD16<UInt32>) {
    let lower = SIMD8<UInt64>(repeating: 0xFFFF_FFFF)
    let shift = SIMD8<UInt64>(repeating: 32)
    let pairs = unsafe unsafeBitCast(a, to: SIMD8<UInt64>.self)
    let even = (pairs & lower) &* by
    let odd = (pairs &>> shift) &* by
    return unsafe (
      unsafeBitCast((even &>> shift) | (odd & ~lower), to: SIMD16<UInt32>.self),
      unsafeBitCast((even & lower) | (odd &<< shift), to: SIMD16<UInt32>.self)
    )
  }
}
