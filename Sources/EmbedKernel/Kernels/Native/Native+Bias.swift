// Biases by distance on the C microkernels.

internal import CMicrokernels

extension NativeKernels: BiasKernels {
  static func addByDistance(_ tile: DistanceTile, _ plan: Plan) {
    var c = unsafe ek_distance_tile(tile)
    unsafe plan.kernels.pointee.add_by_distance_f32.unsafelyUnwrapped(&c)
  }

  static func sumByDistance(_ tile: DistanceTile, _ plan: Plan) {
    var c = unsafe ek_distance_tile(tile)
    unsafe plan.kernels.pointee.sum_by_distance_f32.unsafelyUnwrapped(&c)
  }
}

extension ek_distance_tile {
  fileprivate init(_ tile: DistanceTile) {
    unsafe self.init(
      logits: tile.logits, table: tile.table, rows: tile.rows, columns: tile.columns,
      stride: tile.stride, visible: tile.visible, overwrite: tile.overwrites)
  }
}
