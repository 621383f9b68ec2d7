// Biases by distance on the C microkernels.

internal import CMicrokernels

extension NativeKernels: BiasKernels {
  static func addByDistance(_ tile: DistanceTile, _ plan: Plan) {
    var c = unsafe ek_distance_tile(tile)
    if tile.element == .float32 {
      unsafe plan.kernels.pointee.add_by_distance_f32.unsafelyUnwrapped(&c)
    } else {
      unsafe plan.kernels.pointee.add_by_distance_typed.unsafelyUnwrapped(&c)
    }
  }

  static func sumByDistance(_ tile: DistanceTile, _ plan: Plan) {
    var c = unsafe ek_distance_tile(tile)
    if tile.element == .float32 {
      unsafe plan.kernels.pointee.sum_by_distance_f32.unsafelyUnwrapped(&c)
    } else {
      unsafe plan.kernels.pointee.sum_by_distance_typed.unsafelyUnwrapped(&c)
    }
  }
}

extension ek_distance_tile {
  fileprivate init(_ tile: DistanceTile) {
    unsafe self.init(
      logits: tile.logits, table: tile.table, rows: tile.rows, columns: tile.columns,
      stride: tile.stride, visible: tile.visible, overwrite: tile.overwrites,
      element: tile.element.code)
  }
}
