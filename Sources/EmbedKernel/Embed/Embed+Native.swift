// Forward pass of the native backend: the C microkernels of the best instruction set.

internal import CMicrokernels

/// Fused gather and add in C, one pass over the output.
enum NativeKernels: TileKernels {
  static let walksByPosition = true

  static func embed(_ tile: EmbedTile, _ plan: Plan) {
    var c = unsafe ek_embed_tile(tile, gathered: false)
    unsafe plan.kernels.pointee.embed_f32.unsafelyUnwrapped(&c)
  }
}
