// Forward pass of the pure Swift backend: SIMD vectors of 16 floats, no C, any machine.
//
// Bytes a row: D*4 read from the token table, D*4 from a cached position row, D*4 written.

internal import CKernels

/// Fused gather and add in Swift, one pass over the output.
enum SIMDKernels: BackendKernels {
  static func embed(_ call: EmbedCall, _ plan: Plan) {
    let work = SIMDEmbed(walk: EmbedWalk(call), plan: plan)
    Threads.split(work.walk.count, plan.threads, work)
  }
}

/// A range of a call's columns, rows or tokens. Swift has no prefetch, and the processor's own wants the
/// output written in order: rectangles are walked so.
private struct SIMDEmbed: ParallelWork {
  let walk: EmbedWalk
  let plan: Plan

  func run(_ range: Range<Int>) {
    walk.forEachTile(in: range, plan.traffic, byPosition: false) { first, tile in
      embed(tile, first)
    }
  }

  @inline(__always)
  private func embed(_ tile: ek_embed_tile, _ first: Int) {
    let (dim, scale, ids) = (tile.dim, tile.scale, walk.call.ids)
    tile.forEachToken { token, place in
      let row = unsafe tile.tokens + ids[first &+ token] &* dim
      let output = unsafe tile.output + token &* dim
      guard let positions = unsafe tile.positions else {
        return unsafe scaleRow(row, output, dim, scale)
      }
      let position =
        unsafe positions + (tile.position_ids.map { unsafe Int($0[place]) } ?? place) &* dim
      if scale == 1 {
        unsafe addRows(row, position, output, dim)
      } else {
        unsafe scaleAndAddRows(row, position, output, dim, scale)
      }
    }
  }

  /// output[:] = token[:] + position[:]
  @inline(__always)
  private func addRows(
    _ token: UnsafePointer<Float>, _ position: UnsafePointer<Float>,
    _ output: UnsafeMutablePointer<Float>, _ dim: Int
  ) {
    let vectorised = dim & ~15
    var i = 0
    while i < vectorised {
      unsafe store(vector(token, i) + vector(position, i), output, i)
      i &+= 16
    }
    while i < dim {
      unsafe output[i] = token[i] + position[i]
      i &+= 1
    }
  }

  /// output[:] = scale * token[:] + position[:], product and sum each rounded
  @inline(__always)
  private func scaleAndAddRows(
    _ token: UnsafePointer<Float>, _ position: UnsafePointer<Float>,
    _ output: UnsafeMutablePointer<Float>, _ dim: Int, _ scale: Float
  ) {
    let vectorised = dim & ~15
    var i = 0
    while i < vectorised {
      unsafe store(vector(token, i) * scale + vector(position, i), output, i)
      i &+= 16
    }
    while i < dim {
      unsafe output[i] = token[i] * scale + position[i]
      i &+= 1
    }
  }

  /// output[:] = scale * token[:]
  @inline(__always)
  private func scaleRow(
    _ token: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>, _ dim: Int, _ scale: Float
  ) {
    let vectorised = dim & ~15
    var i = 0
    while i < vectorised {
      unsafe store(vector(token, i) * scale, output, i)
      i &+= 16
    }
    while i < dim {
      unsafe output[i] = token[i] * scale
      i &+= 1
    }
  }

  // Rows start anywhere, so vectors are loaded and stored without alignment.
  @inline(__always)
  private func vector(_ row: UnsafePointer<Float>, _ i: Int) -> SIMD16<Float> {
    unsafe UnsafeRawPointer(row + i).loadUnaligned(as: SIMD16<Float>.self)
  }

  @inline(__always)
  private func store(
    _ value: SIMD16<Float>, _ row: UnsafeMutablePointer<Float>, _ i: Int
  ) {
    unsafe UnsafeMutableRawPointer(row + i).storeBytes(of: value, as: SIMD16<Float>.self)
  }
}
