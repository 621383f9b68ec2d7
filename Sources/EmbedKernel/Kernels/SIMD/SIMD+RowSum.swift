// Sums of gathered rows of the pure Swift backend: blocks of 64 floats, summed in registers over all
// rows and written once; then blocks of 16, and single columns.
//
// Bytes: each listed row read once, D*4; the output written once, D*4, and read where it is added to.

extension SIMDKernels: RowSumKernels {
  static func sum(_ sum: RowSum, _ plan: Plan) {
    let width = sum.width
    var column = 0
    while column &+ 64 <= width {
      sumBlock(sum, column, SIMD64<Float>.self)
      column &+= 64
    }
    while column &+ 16 <= width {
      sumBlock(sum, column, SIMD16<Float>.self)
      column &+= 16
    }
    while column < width {
      sumBlock(sum, column, Float.self)
      column &+= 1
    }
  }

  @inline(__always)
  private static func sumBlock<Block: RowBlock>(_ sum: RowSum, _ column: Int, _: Block.Type) {
    var total: Block
    switch sum.order {
    case .leftToRight: total = addUp(sum, 0, sum.count, column)
    case .tree(let leaf): total = tree(sum, 0, sum.count, leaf, column)
    case .compensated:
      let (value, correction): (Block, Block) = compensated(sum, column)
      total = value
      if let output = unsafe sum.correctionOutput {
        unsafe correction.store(output + column)
      } else {
        total = Block.add(value, correction)
      }
    }
    unsafe write(total, sum.output + column, sum.factor, sum.accumulates)
  }

  /// Rows first..<last, left to right; passes each on where the call asks for it.
  @inline(__always)
  private static func addUp<Block: RowBlock>(
    _ sum: RowSum, _ first: Int, _ last: Int, _ column: Int
  ) -> Block {
    var total = row(sum, first, column) as Block
    pass(sum, first, column, total)
    var i = first &+ 1
    while i < last {
      let value: Block = row(sum, i, column)
      pass(sum, i, column, value)
      total = Block.add(total, value)
      i &+= 1
    }
    return total
  }

  /// Leaves of `leaf` rows, added up as a tree of adjacent pairs: the left side of each addition is
  /// the largest power of two of leaves that is short of all.
  private static func tree<Block: RowBlock>(
    _ sum: RowSum, _ first: Int, _ last: Int, _ leaf: Int, _ column: Int
  ) -> Block {
    guard last &- first > leaf else { return addUp(sum, first, last, column) }
    let leaves = (last &- first &- 1) / leaf
    let left = leaf << (Int.bitWidth &- 1 &- leaves.leadingZeroBitCount)
    return Block.add(
      tree(sum, first, first &+ left, leaf, column), tree(sum, first &+ left, last, leaf, column))
  }

  /// Left to right, with the rounding error of every addition (Knuth's TwoSum) summed beside.
  @inline(__always)
  private static func compensated<Block: RowBlock>(
    _ sum: RowSum, _ column: Int
  ) -> (Block, Block) {
    var (total, correction) = (Block.zeros, Block.zeros)
    for i in 0..<sum.count {
      let value: Block = row(sum, i, column)
      let next = Block.add(total, value)
      let added = Block.subtract(next, total)
      let error = Block.add(
        Block.subtract(total, Block.subtract(next, added)), Block.subtract(value, added))
      correction = Block.add(correction, error)
      total = next
      if let corrections = unsafe sum.corrections {
        correction = unsafe Block.add(
          correction, Block.load(corrections + index(sum, i) &* sum.stride + column))
      }
    }
    return (total, correction)
  }

  @inline(__always)
  private static func index(_ sum: RowSum, _ i: Int) -> Int {
    if let indices = unsafe sum.indices { return unsafe Int(indices[i]) }
    return i
  }

  @inline(__always)
  private static func row<Block: RowBlock>(_ sum: RowSum, _ i: Int, _ column: Int) -> Block {
    unsafe Block.load(sum.rows + index(sum, i) &* sum.stride + column)
  }

  @inline(__always)
  private static func pass<Block: RowBlock>(
    _ sum: RowSum, _ i: Int, _ column: Int, _ value: Block
  ) {
    guard let destinations = unsafe sum.destinations, let passed = unsafe sum.passed else { return }
    let destination = unsafe Int(destinations[index(sum, i)])
    guard destination >= 0 else { return }
    unsafe write(
      value, passed + destination &* sum.stride + column, sum.passFactor, sum.passAccumulates)
  }

  /// p[:] = factor * value, or p[:] += factor * value, the product rounded on its own.
  @inline(__always)
  private static func write<Block: RowBlock>(
    _ value: Block, _ p: UnsafeMutablePointer<Float>, _ factor: Float, _ accumulates: Bool
  ) {
    let product = Block.multiply(value, factor)
    unsafe (accumulates ? Block.add(Block.load(p), product) : product).store(p)
  }
}

/// A stretch of columns that a sum takes at once.
private protocol RowBlock {
  static var zeros: Self { get }
  static func load(_ p: UnsafePointer<Float>) -> Self
  func store(_ p: UnsafeMutablePointer<Float>)
  static func add(_ a: Self, _ b: Self) -> Self
  static func subtract(_ a: Self, _ b: Self) -> Self
  static func multiply(_ a: Self, _ factor: Float) -> Self
}

extension RowBlock where Self: SIMD, Scalar == Float {
  @inline(__always) static var zeros: Self { Self(repeating: 0) }

  // Rows start anywhere, so vectors are loaded and stored without alignment.
  @inline(__always)
  static func load(_ p: UnsafePointer<Float>) -> Self {
    unsafe UnsafeRawPointer(p).loadUnaligned(as: Self.self)
  }
  @inline(__always)
  func store(_ p: UnsafeMutablePointer<Float>) {
    unsafe UnsafeMutableRawPointer(p).storeBytes(of: self, as: Self.self)
  }
  @inline(__always) static func add(_ a: Self, _ b: Self) -> Self { a + b }
  @inline(__always) static func subtract(_ a: Self, _ b: Self) -> Self { a - b }
  @inline(__always) static func multiply(_ a: Self, _ factor: Float) -> Self { a * factor }
}

extension SIMD64<Float>: RowBlock {}
extension SIMD16<Float>: RowBlock {}

extension Float: RowBlock {
  @inline(__always) static var zeros: Float { 0 }
  @inline(__always) static func load(_ p: UnsafePointer<Float>) -> Float { unsafe p.pointee }
  @inline(__always) func store(_ p: UnsafeMutablePointer<Float>) { unsafe p.pointee = self }
  @inline(__always) static func add(_ a: Float, _ b: Float) -> Float { a + b }
  @inline(__always) static func subtract(_ a: Float, _ b: Float) -> Float { a - b }
  @inline(__always) static func multiply(_ a: Float, _ factor: Float) -> Float { a * factor }
}
