// Forward pass of the native backend: the C microkernels of the best instruction set.

internal import CMicrokernels

/// Fused gather and add in C, one pass over the output.
enum NativeKernels: TileKernels {
  static let walksByPosition = true

  static func embed(_ tile: EmbedTile, _ plan: Plan) {
    let token = tile.first
    var c = unsafe ek_embed_tile(
      tokens: tile.tokens, positions: tile.positions, position_ids: tile.positionIDs,
      ids: tile.ids.base + token * (tile.ids.isWide ? 8 : 4),
      output: tile.output + token * tile.dim, outer: ek_loop(tile.outer),
      inner: ek_loop(tile.inner), dim: tile.dim, prefetch_rows: tile.traffic.prefetchRows,
      scale: tile.scale, id_bytes: tile.ids.isWide ? 8 : 4, streaming: tile.traffic.streaming)
    unsafe plan.kernels.pointee.embed_f32.unsafelyUnwrapped(&c)
  }
}

extension ek_loop {
  fileprivate init(_ loop: EmbedTile.Loop) {
    self.init(count: loop.count, tokens: loop.tokens, positions: loop.positions)
  }
}
