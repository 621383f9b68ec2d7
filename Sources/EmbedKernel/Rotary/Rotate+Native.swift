// Rotation by the native backend: the C microkernels of the best instruction set.

internal import CMicrokernels

extension NativeKernels {
  static func rotate(_ tile: ek_rotary_tile, _ plan: Plan) {
    var tile = unsafe tile
    if unsafe tile.type == EK_F32 {
      unsafe plan.kernels.pointee.rotate_f32.unsafelyUnwrapped(&tile)
    } else {
      unsafe plan.kernels.pointee.rotate_half.unsafelyUnwrapped(&tile)
    }
  }
}
