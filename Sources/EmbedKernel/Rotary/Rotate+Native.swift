// Rotation by the native backend: the C kernels of the best instruction set.

internal import CKernels

extension NativeKernels {
  static func rotate(_ tile: ek_rotary_tile, _ plan: Plan) {
    var tile = unsafe tile
    unsafe plan.kernels.pointee.rotate(&tile)
  }
}
