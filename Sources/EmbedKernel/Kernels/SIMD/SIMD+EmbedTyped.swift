// Forward pass of the pure Swift backend on two-byte elements.
//
// Bytes a row: D*2 read from the token table, D*2 from a cached position row, D*2 written.

extension SIMDKernels {
  @inline(__always)
  static func embed(_ tile: TypedTile, _ plan: Plan) {
    unsafe TypedRows(tile: tile, positions: tile.positions).run(tile.pass.input, tile.pass.output)
  }
}

/// output[n, :] = round(scale * tokens[ids[n], :] + positions[place(n), :])
@safe private struct TypedRows: TypedBody {
  let tile: TypedTile
  let positions: UnsafeRawPointer?

  func run<Input: SIMDElement, Output: SIMDElement>(_ input: Input.Type, _ output: Output.Type) {
    let (nest, pass) = (tile.nest, tile.pass)
    let (dim, scale, size) = (nest.dim, nest.scale, MemoryLayout<Input>.size)
    nest.forEachToken { token, place in
      let row = unsafe pass.token(nest.ids[token] &* dim)
      let out = unsafe pass.output(token &* dim)
      let position = unsafe positions.map { positions in
        unsafe positions + (nest.positionIDs.map { unsafe Int($0[place]) } ?? place) &* dim &* size
      }
      if let position = unsafe position {
        unsafe Self.add(Input.self, Output.self, row, position, out, dim, scale)
      } else {
        unsafe Self.multiply(Input.self, Output.self, row, out, dim, scale)
      }
    }
  }

  @inline(__always)
  private static func add<Input: SIMDElement, Output: SIMDElement>(
    _ input: Input.Type, _ output: Output.Type, _ token: UnsafeRawPointer,
    _ position: UnsafeRawPointer, _ out: UnsafeMutableRawPointer, _ dim: Int, _ scale: Float
  ) {
    let (from, to) = (MemoryLayout<Input>.size, MemoryLayout<Output>.size)
    var i = 0
    while i &+ 16 <= dim {
      let sum = unsafe Input.load(token + i &* from) * scale + Input.load(position + i &* from)
      unsafe Output.store(sum, out + i &* to)
      i &+= 16
    }
    while i < dim {
      let sum =
        unsafe Input.loadOne(token + i &* from) * scale + Input.loadOne(position + i &* from)
      unsafe Output.storeOne(sum, out + i &* to)
      i &+= 1
    }
  }

  @inline(__always)
  private static func multiply<Input: SIMDElement, Output: SIMDElement>(
    _ input: Input.Type, _ output: Output.Type, _ token: UnsafeRawPointer,
    _ out: UnsafeMutableRawPointer, _ dim: Int, _ scale: Float
  ) {
    let (from, to) = (MemoryLayout<Input>.size, MemoryLayout<Output>.size)
    var i = 0
    while i &+ 16 <= dim {
      unsafe Output.store(Input.load(token + i &* from) * scale, out + i &* to)
      i &+= 16
    }
    while i < dim {
      unsafe Output.storeOne(Input.loadOne(token + i &* from) * scale, out + i &* to)
      i &+= 1
    }
  }
}
