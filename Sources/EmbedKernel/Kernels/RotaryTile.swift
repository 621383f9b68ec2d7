// What a backend is given to rotate: two nested loops over rows, each with its row of cosines and
// sines, as plain pointers and sizes.

/// A nest of rows of which `pairs` pairs are rotated.
@safe struct RotaryTile {
  /// How many steps, and how far tensors and cos/sin rows move a step, in floats.
  struct Loop {
    var count: Int
    var elements = 0
    var rows = 0
  }

  let input: UnsafePointer<Float>
  /// Disjoint from the input, or the same address.
  let output: UnsafeMutablePointer<Float>
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

  var isInPlace: Bool { unsafe UnsafePointer(output) == input }
}
