// Rotation by the native backend: the C microkernels of the best instruction set.

internal import CMicrokernels

extension NativeKernels {
  @inline(__always)
  static func rotate(_ tile: RotaryTile, _ plan: Plan) {
    var c = unsafe ek_rotary_tile(
      input: tile.input, output: tile.output, type: tile.type.code, rows: tile.rows,
      sines: tile.sines,
      outer: ek_rotary_loop(tile.outer), inner: ek_rotary_loop(tile.inner), pairs: tile.pairs,
      partner: tile.partner, rest_at: tile.restStart, rest: tile.rest,
      neighbours: tile.layout == .interleaved,
      inverse: tile.direction == .backward, streaming: tile.streaming)
    if tile.type == .float32 {
      unsafe plan.kernels.pointee.rotate_f32.unsafelyUnwrapped(&c)
    } else {
      unsafe plan.kernels.pointee.rotate_half.unsafelyUnwrapped(&c)
    }
  }
}

extension ek_rotary_loop {
  fileprivate init(_ loop: RotaryTile.Loop) {
    self.init(count: loop.count, elements: loop.elements, rows: loop.rows)
  }
}
