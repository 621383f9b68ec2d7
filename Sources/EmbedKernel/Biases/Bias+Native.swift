// Biases by distance on the C kernels.

internal import CKernels

extension NativeKernels: DistanceKernels {
  static func addByDistance(_ tile: ek_distance_tile, _ plan: Plan) {
    var tile = unsafe tile
    unsafe plan.kernels.pointee.add_by_distance(&tile)
  }

  static func sumByDistance(_ tile: ek_distance_tile, _ plan: Plan) {
    var tile = unsafe tile
    unsafe plan.kernels.pointee.sum_by_distance(&tile)
  }
}
