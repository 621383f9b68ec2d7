// Forward pass on two-byte elements in C, for every backend.

internal import CMicrokernels

extension Plan {
  /// output[n, :] = round(scale * tokens[ids[n], :] + positions[place(n), :])
  func embed(_ tile: TypedTile) {
    let (nest, pass) = (tile.nest, tile.pass)
    let output = unsafe pass.output(nest.first * nest.dim)
    var rows = unsafe ek_embed_tile(nest, gathered: false)
    unsafe rows.positions = tile.positions?.assumingMemoryBound(to: Float.self)
    unsafe rows.output = output.assumingMemoryBound(to: Float.self)
    var c = unsafe ek_typed_tile(rows: rows, input: pass.input.code, output: pass.output.code)
    unsafe kernels.pointee.embed_typed.unsafelyUnwrapped(&c)
  }
}
