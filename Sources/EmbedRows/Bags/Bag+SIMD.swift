// Bags of floats on the pure Swift backend: 32 columns at a time, pooled in registers and written once.
// Swift has no prefetch.

internal import CKernels

enum SIMDBags {
  static func pool(_ tile: ek_bag_tile) {
    tile.bags.forEach(from: (tile.first, tile.start), to: tile.last) { bag, ids in
      guard ids.count <= tile.longest else { return }
      let end = tile.column + tile.columns
      var column = tile.column
      while column < end {
        let count = min(columnsOfStep, end &- column)
        if tile.pool == EK_POOL_MAX {
          maximum(tile, bag, ids, column, count)
        } else {
          sum(tile, bag, ids, column, count)
        }
        column &+= columnsOfStep
      }
    }
  }

  @inline(__always)
  private static func sum(
    _ tile: ek_bag_tile, _ bag: Int, _ ids: Range<Int>, _ column: Int, _ count: Int
  ) {
    var (low, high) = (SIMD16<Float>(repeating: 0), SIMD16<Float>(repeating: 0))
    var members = 0
    for id in ids {
      guard let row = tile.row(id) else { continue }
      members &+= 1
      guard row >= 0 else { continue }
      var (a, b) = unsafe load(tile.floatRow(row) + column, count)
      if let weights = unsafe tile.weights {
        let weight = unsafe weights[id]
        (a, b) = (a * weight, b * weight)
      }
      (low, high) = (low + a, high + b)
    }
    if tile.pool == EK_POOL_MEAN, members > 0 {
      (low, high) = (low / Float(members), high / Float(members))
    }
    unsafe store(low, high, tile.floats(bag) + column, count)
  }

  @inline(__always)
  private static func maximum(
    _ tile: ek_bag_tile, _ bag: Int, _ ids: Range<Int>, _ column: Int, _ count: Int
  ) {
    var (low, high) = (SIMD16<Float>(repeating: 0), SIMD16<Float>(repeating: 0))
    var (winnersLow, winnersHigh) = (SIMD16<Int32>(repeating: -1), SIMD16<Int32>(repeating: -1))
    for id in ids {
      guard let row = tile.row(id) else { continue }
      let zero = SIMD16<Float>(repeating: 0)
      let (a, b) =
        row < 0 ? (zero, zero) : unsafe load(tile.floatRow(row) + column, count)
      let takesLow = (winnersLow .< 0) .| (a .> low)
      let takesHigh = (winnersHigh .< 0) .| (b .> high)
      low.replace(with: a, where: takesLow)
      high.replace(with: b, where: takesHigh)
      let winner = Int32(truncatingIfNeeded: id)
      winnersLow.replace(with: winner, where: takesLow)
      winnersHigh.replace(with: winner, where: takesHigh)
    }
    unsafe store(low, high, tile.floats(bag) + column, count)
    guard let winners = unsafe tile.winners else { return }
    let to = unsafe winners + (bag &* tile.table.dim &+ column)
    for i in 0..<min(count, 16) { unsafe to[i] = winnersLow[i] }
    for i in 16..<max(count, 16) { unsafe to[i] = winnersHigh[i &- 16] }
  }

  /// The first `count` floats of 32, and zeros. Rows start anywhere: nothing is assumed of alignment.
  @inline(__always)
  private static func load(
    _ p: UnsafePointer<Float>, _ count: Int
  ) -> (SIMD16<Float>, SIMD16<Float>) {
    if count == columnsOfStep {
      return unsafe (
        UnsafeRawPointer(p).loadUnaligned(as: SIMD16<Float>.self),
        UnsafeRawPointer(p + 16).loadUnaligned(as: SIMD16<Float>.self)
      )
    }
    var (low, high) = (SIMD16<Float>(repeating: 0), SIMD16<Float>(repeating: 0))
    for i in 0..<min(count, 16) { unsafe low[i] = p[i] }
    for i in 16..<max(count, 16) { unsafe high[i &- 16] = p[i] }
    return (low, high)
  }

  @inline(__always)
  private static func store(
    _ low: SIMD16<Float>, _ high: SIMD16<Float>, _ p: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    if count == columnsOfStep {
      unsafe UnsafeMutableRawPointer(p).storeBytes(of: low, as: SIMD16<Float>.self)
      unsafe UnsafeMutableRawPointer(p + 16).storeBytes(of: high, as: SIMD16<Float>.self)
      return
    }
    for i in 0..<min(count, 16) { unsafe p[i] = low[i] }
    for i in 16..<max(count, 16) { unsafe p[i] = high[i &- 16] }
  }
}

extension ek_bag_tile {
  /// The row that id `id` reads: negative for a row of zeros, nil for one that is left out.
  @inline(__always)
  func row(_ id: Int) -> Int? {
    var row =
      id_bytes == 8
      ? Int(unsafe ids.loadUnaligned(fromByteOffset: id &* 8, as: Int64.self))
      : Int(unsafe ids.loadUnaligned(fromByteOffset: id &* 4, as: Int32.self))
    if row < 0 || row >= rows {
      guard clamps else { return -1 }
      row = Swift.max(0, Swift.min(row, rows &- 1))
    }
    return Int64(row) == padding ? nil : row
  }

  /// Row `row` of a table of floats.
  @inline(__always)
  func floatRow(_ row: Int) -> UnsafePointer<Float> {
    unsafe (table.bytes + row &* table.row_bytes).assumingMemoryBound(to: Float.self)
  }

  /// The row of bag `bag` of an output of floats.
  @inline(__always)
  func floats(_ bag: Int) -> UnsafeMutablePointer<Float> {
    unsafe output.assumingMemoryBound(to: Float.self) + bag &* table.dim
  }
}
