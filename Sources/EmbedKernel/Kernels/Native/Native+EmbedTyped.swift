// Forward pass of the native backend on two-byte elements: the C microkernels of the best
// instruction set.

internal import CMicrokernels

extension NativeKernels {
  static func embed(_ tile: TypedTile, _ plan: Plan) {
    let (nest, pass) = (tile.nest, tile.pass)
    let output = unsafe pass.output(nest.first * nest.dim)
    var rows = unsafe ek_embed_tile(nest, gathered: false)
    unsafe rows.positions = tile.positions?.assumingMemoryBound(to: Float.self)
    unsafe rows.output = output.assumingMemoryBound(to: Float.self)
    var c = unsafe ek_typed_tile(rows: rows, input: pass.input.code, output: pass.output.code)
    unsafe plan.kernels.pointee.embed_typed.unsafelyUnwrapped(&c)
  }
}
