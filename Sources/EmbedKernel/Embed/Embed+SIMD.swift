// Forward pass of the pure Swift backend: SIMD vectors of 16 floats, no C, any machine.
//
// Bytes a row: D*4 read from the token table, D*4 from a cached position row, D*4 written.

/// Fused gather and add in Swift, one pass over the output.
enum SIMDKernels: TileKernels {
  // Swift has no prefetch.
  static let walksByPosition = false

  /// for n in the nest: output[n, :] = scale * tokens[ids[n], :] + positions[place(n), :]
  @inline(__always)
  static func embed(_ tile: EmbedTile, _ plan: Plan) {
    let (dim, scale) = (tile.dim, tile.scale)
    for o in 0..<tile.outer.count {
      for i in 0..<tile.inner.count {
        let token = tile.first &+ o &* tile.outer.tokens &+ i &* tile.inner.tokens
        let row = unsafe tile.tokens + tile.ids[token] &* dim
        let output = unsafe tile.output + token &* dim
        guard let positions = unsafe tile.positions else {
          unsafe scaleRow(row, output, dim, scale)
          continue
        }
        let place = o &* tile.outer.positions &+ i &* tile.inner.positions
        let position =
          unsafe positions + (tile.positionIDs.map { unsafe Int($0[place]) } ?? place) &* dim
        if scale == 1 {
          unsafe addRows(row, position, output, dim)
        } else {
          unsafe scaleAndAddRows(row, position, output, dim, scale)
        }
      }
    }
  }

  /// output[:] = token[:] + position[:]
  @inline(__always)
  private static func addRows(
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
  private static func scaleAndAddRows(
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
  private static func scaleRow(
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
  private static func vector(_ row: UnsafePointer<Float>, _ i: Int) -> SIMD16<Float> {
    unsafe UnsafeRawPointer(row + i).loadUnaligned(as: SIMD16<Float>.self)
  }

  @inline(__always)
  private static func store(
    _ value: SIMD16<Float>, _ row: UnsafeMutablePointer<Float>, _ i: Int
  ) {
    unsafe UnsafeMutableRawPointer(row + i).storeBytes(of: value, as: SIMD16<Float>.self)
  }
}
