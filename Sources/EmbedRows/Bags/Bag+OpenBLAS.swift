// Sums and means of bags on the OpenBLAS backend: `cblas_saxpy` by 1 a row, of a copy times its weight
// where there are weights, as saxpy by a weight would fuse product and sum. So the bits are the others'.
//
// Bytes an id: a row read, and the bag's sum read and written, in L1. Calls stay below the sizes at
// which OpenBLAS wakes its threads.

internal import CBLASCalls
internal import CKernels

enum OpenBLASBags {
  static func pool(_ tile: ek_bag_tile) {
    tile.bags.forEach(from: (tile.first, tile.start), to: tile.last) { bag, ids in
      guard ids.count <= tile.longest else { return }
      let end = tile.column + tile.columns
      for column in stride(from: tile.column, to: end, by: mostColumns) {
        pool(tile, bag, ids, column, min(mostColumns, end - column))
      }
    }
  }

  /// Pools columns `column..<column + count` of a bag.
  private static func pool(
    _ tile: ek_bag_tile, _ bag: Int, _ ids: Range<Int>, _ column: Int, _ count: Int
  ) {
    let sum = unsafe tile.floats(bag) + column
    unsafe sum.update(repeating: 0, count: count)
    var copy = InlineArray<1_024, Float>(repeating: 0)
    var span = copy.mutableSpan
    var members = 0
    unsafe span.withUnsafeMutableBufferPointer { copy in
      let copy = unsafe copy.baseAddress.unsafelyUnwrapped
      for id in ids {
        guard let row = tile.row(id) else { continue }
        members += 1
        guard row >= 0 else { continue }
        let from = unsafe tile.floatRow(row) + column
        guard let weights = unsafe tile.weights else {
          unsafe ek_blas_saxpy(Int32(count), 1, from, 1, sum, 1)
          continue
        }
        // BLAS's sscal sets zeros where the weight is 0, also of numbers that are not finite.
        for i in 0..<count { unsafe copy[i] = from[i] * weights[id] }
        unsafe ek_blas_saxpy(Int32(count), 1, copy, 1, sum, 1)
      }
    }
    guard tile.pool == EK_POOL_MEAN, members > 0 else { return }
    for i in 0..<count { unsafe sum[i] /= Float(members) }
  }
}

private let mostColumns = 1_024
