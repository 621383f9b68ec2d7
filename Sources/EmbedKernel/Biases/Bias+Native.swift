// Biases by distance on the C microkernels.

internal import CMicrokernels

extension NativeKernels: DistanceKernels {
  static func addByDistance(_ tile: ek_distance_tile, _ plan: Plan) {
    var tile = unsafe tile
    if unsafe tile.element == EK_F32 {
      unsafe plan.kernels.pointee.add_by_distance_f32.unsafelyUnwrapped(&tile)
    } else {
      unsafe plan.kernels.pointee.add_by_distance_typed.unsafelyUnwrapped(&tile)
    }
  }

  static func sumByDistance(_ tile: ek_distance_tile, _ plan: Plan) {
    var tile = unsafe tile
    if unsafe tile.element == EK_F32 {
      unsafe plan.kernels.pointee.sum_by_distance_f32.unsafelyUnwrapped(&tile)
    } else {
      unsafe plan.kernels.pointee.sum_by_distance_typed.unsafelyUnwrapped(&tile)
    }
  }
}
