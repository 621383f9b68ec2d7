// What a backend is given to rotate: two nested loops over rows, each with its row of cosines and
// sines, as plain pointers and sizes.

/// A nest of rows of which `pairs` pairs are rotated.
@safe struct RotaryTile {
  /// How many steps, and how far tensors and cos/sin rows move a step, in elements.
  struct Loop {
    var count: Int
    var elements = 0
    var rows = 0
  }

  /// The first element of the first row.
  let input: UnsafeRawPointer
  /// Disjoint from the input, or the same address.
  let output: UnsafeMutableRawPointer
  /// What both hold.
  let type: ElementType
  /// Cosines of the first row; its sines are `sines` floats on.
  let rows: UnsafePointer<Float>
  let sines: Int
  let outer: Loop
  let inner: Loop
  let pairs: Int
  /// From a pair's first element to its second, in the half layout.
  let partner: Int
  /// Where the elements begin that are not rotated but copied, and how many they are.
  let restStart: Int
  let rest: Int
  let layout: RotaryLayout
  let direction: RotaryDirection
  /// Write past the cache.
  let streaming: Bool

  var isInPlace: Bool { unsafe UnsafeRawPointer(output) == input }

  /// How far row (`outer`, `inner`) is from the first, in elements.
  @inline(__always)
  func element(_ outer: Int, _ inner: Int) -> Int {
    outer &* self.outer.elements &+ inner &* self.inner.elements
  }

  /// The cosines of that row.
  @inline(__always)
  func cosines(_ outer: Int, _ inner: Int) -> UnsafePointer<Float> {
    unsafe rows + (outer &* self.outer.rows &+ inner &* self.inner.rows)
  }
}
