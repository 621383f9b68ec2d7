// Optimiser steps in C, for every backend: they need roots and quotients, which BLAS lacks, and `simd`
// takes the portable set.

internal import CMicrokernels

extension Plan {
  /// Steps the rows of a tile.
  func step(_ tile: ek_step_tile, _ kernel: ek_step) {
    unsafe withUnsafePointer(to: tile) { unsafe ek_run_step(kernels.pointee.steps, kernel, $0) }
  }
}
