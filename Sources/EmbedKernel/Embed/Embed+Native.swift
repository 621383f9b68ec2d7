// Forward pass in C by the plan's instruction set: fused gather and add, one pass over the output.

internal import CKernels

enum NativeKernels: BackendKernels {
  static func embed(_ call: EmbedCall, _ plan: Plan) {
    let work = NativeEmbed(walk: EmbedWalk(call), plan: plan)
    Threads.split(work.walk.count, plan.threads, work)
  }
}

/// A range of a call's columns, rows or tokens.
private struct NativeEmbed: ParallelWork {
  let walk: EmbedWalk
  let plan: Plan

  func run(_ range: Range<Int>) {
    let (kernels, call) = unsafe (plan.kernels, walk.call)
    // Small rectangles are in cache whichever way they are walked: write them in order.
    let byPosition = plan.traffic.prefetchRows > 0
    walk.forEachTile(in: range, plan.traffic, byPosition: byPosition) { _, rows in
      var tile = ek_element_tile(rows: rows, input: call.input.code, output: call.written.code)
      unsafe kernels.pointee.embed(&tile)
    }
  }
}
