// Attention in tiles of queries against tiles of keys: what a tile needs stays in L2, and of the
// probabilities no more is kept than two numbers a query. A causal mask's hidden tiles are skipped.
//
// B batch, H heads, Q queries and K keys of a sequence, d head dim, D = H*d.

internal import CKernels
internal import EmbedKernel

/// The sizes and the data of attention. Queries are the last `queryCount` tokens of their sequence.
@safe package struct AttentionRows {
  let batch: Int
  let heads: Int
  let headDim: Int
  let queryCount: Int
  let keyCount: Int
  let isCausal: Bool
  let queries: HeadRows
  let keys: HeadRows
  let values: HeadRows
  /// `[B, H, 2, Q]`: of each query its largest logit, and 1 over the sum of powers below it.
  let statistics: UnsafeMutablePointer<Float>
  let bias: DistanceEntries?

  /// A tile of logits has 128 KiB at most, and the backward two of them.
  package static let queryTile = 64
  package static let keyTile = 512

  /// The floats of a part's tiles.
  package static func scratchCount(queries: Int, keys: Int, backward: Bool) -> Int {
    let tile = min(queries, queryTile) * min(keys, keyTile)
    return backward ? 2 * tile + queryTile : tile
  }

  /// Names the rows of a batch.
  package init(
    batch: Int, heads: Int, headDim: Int, queryCount: Int, keyCount: Int, isCausal: Bool,
    queries: HeadRows, keys: HeadRows, values: HeadRows, statistics: UnsafeMutablePointer<Float>,
    bias: DistanceEntries? = nil
  ) {
    self.batch = batch
    self.heads = heads
    self.headDim = headDim
    self.queryCount = queryCount
    self.keyCount = keyCount
    self.isCausal = isCausal
    self.queries = queries
    self.keys = keys
    self.values = values
    unsafe self.statistics = statistics
    self.bias = bias
  }

  var scale: Float { Float(1 / Double(headDim).squareRoot()) }
  var lanes: Int { batch * heads }
  var queryTiles: Int { (queryCount + Self.queryTile - 1) / Self.queryTile }
  /// The place of query 0 among the keys.
  private var offset: Int { keyCount - queryCount }

  func queryTile(_ index: Int) -> Range<Int> {
    index * Self.queryTile..<min(queryCount, (index + 1) * Self.queryTile)
  }

  /// The keys that a tile of queries meets.
  func keys(_ tile: Range<Int>) -> Int { isCausal ? offset + tile.upperBound : keyCount }

  /// Calls `body` with each tile of the keys that a tile of queries meets.
  @inline(__always)
  func forEachKeyTile(_ tile: Range<Int>, _ body: (Range<Int>) -> Void) {
    let count = keys(tile)
    var start = 0
    while start < count {
      let end = min(count, start + Self.keyTile)
      body(start..<end)
      start = end
    }
  }

  /// The record of a tile at `logits`, of what the queries keep.
  func tile(
    _ lane: Int, _ tile: Range<Int>, _ keys: Range<Int>, _ logits: UnsafeMutablePointer<Float>
  ) -> ek_attention_tile {
    let most = unsafe statistics + lane * 2 * queryCount + tile.lowerBound
    return unsafe ek_attention_tile(
      logits: logits, gradient: nil, stride: keys.count, rows: tile.count, columns: keys.count,
      visible: visible(tile, keys), most: most, sums: most + queryCount, means: nil, output: nil,
      output_stride: 0, dim: headDim, is_first: keys.lowerBound == 0)
  }

  /// The keys of a tile that its first query sees; each query sees one more than the one before.
  private func visible(_ tile: Range<Int>, _ keys: Range<Int>) -> Int {
    isCausal ? offset + tile.lowerBound + 1 - keys.lowerBound : .max
  }

  /// Puts queries * keys^T / sqrt(d) + bias of a tile to `logits`.
  func writeLogits(
    _ lane: Int, _ tile: Range<Int>, _ keyRange: Range<Int>,
    _ logits: UnsafeMutablePointer<Float>
  ) {
    let (sequence, head) = lane.quotientAndRemainder(dividingBy: heads)
    let queries = queries.rows(sequence, head, queryCount, headDim, tile)
    let keys = keys.rows(sequence, head, keyCount, headDim, keyRange)
    func addBias(overwrite: Bool) {
      guard let bias else { return }
      unsafe withDistances(
        bias.first + head * bias.headStride, tile, keyRange, logits, overwrite: overwrite
      ) { unsafe RowKernels.table.pointee.add_by_distance($0) }
    }
    if tile.count == 1 {
      unsafe RowKernels.table.pointee.dot_rows(
        queries.base, 0, keys.base, keys.stride, logits, keys.rows, headDim)
      for key in 0..<keys.rows { unsafe logits[key] *= scale }
      return addBias(overwrite: false)
    }
    addBias(overwrite: true)
    unsafe MatrixProduct.multiplyTile(
      queries, keys.transposed, scale: scale, bias == nil ? .overwrite : .accumulate,
      StridedMatrix(logits, tile.count, keys.rows))
  }

  /// Calls `body` with a tile and the entries along its diagonals.
  ///
  /// - Parameter entries: That of distance 0.
  func withDistances(
    _ entries: UnsafeMutablePointer<Float>, _ tile: Range<Int>, _ keys: Range<Int>,
    _ logits: UnsafeMutablePointer<Float>, overwrite: Bool = false,
    _ body: (UnsafePointer<ek_distance_tile>) -> Void
  ) {
    let distances = unsafe ek_distance_tile(
      logits: logits, table: entries + (keys.lowerBound - offset - tile.lowerBound),
      rows: tile.count, columns: keys.count, stride: keys.count, visible: visible(tile, keys),
      overwrite: overwrite, element: EK_F32)
    unsafe withUnsafePointer(to: distances) { unsafe body($0) }
  }
}

/// Rows of heads in a tensor of tokens.
@safe package struct HeadRows {
  /// That of the first head of the first token.
  let base: UnsafeMutablePointer<Float>
  /// The floats from a token to the next.
  let stride: Int
  /// Those from a sequence to the next; nil where they stand one after another.
  let sequenceStride: Int?

  package init(_ base: UnsafeMutablePointer<Float>, stride: Int, sequenceStride: Int? = nil) {
    unsafe self.base = base
    self.stride = stride
    self.sequenceStride = sequenceStride
  }

  /// Some rows of one head; a sequence has `count`.
  func rows(
    _ sequence: Int, _ head: Int, _ count: Int, _ headDim: Int, _ range: Range<Int>
  ) -> StridedMatrix {
    let first = sequence * (sequenceStride ?? count * stride) + range.lowerBound * stride
    return unsafe StridedMatrix(
      base + first + head * headDim, range.count, headDim, stride: stride)
  }
}

/// The numbers of a bias by distance, key less query.
@safe package struct DistanceEntries {
  /// That of distance 0 of the first head.
  let first: UnsafeMutablePointer<Float>
  let headStride: Int

  package init(_ first: UnsafeMutablePointer<Float>, headStride: Int) {
    unsafe self.first = first
    self.headStride = headStride
  }
}

/// output = softmax(queries * keys^T / sqrt(d) + bias) * values, for heads counted over the batch.
@safe package struct AttentionForward: PassWork {
  let rows: AttentionRows
  let output: HeadRows
  /// `[parts, scratchCount]`.
  let scratch: UnsafeMutablePointer<Float>
  let parts: Int

  package init(
    rows: AttentionRows, output: HeadRows, scratch: UnsafeMutablePointer<Float>, parts: Int
  ) {
    self.rows = rows
    self.output = output
    unsafe self.scratch = scratch
    self.parts = parts
  }

  package func run(threads: Int) { Parallel.parts(parts, threads, self) }

  /// Does some of the parts: stretches of the heads' tiles of queries.
  func run(_ range: Range<Int>) {
    let (units, tiles) = (rows.lanes * rows.queryTiles, rows.queryTiles)
    let floats = AttentionRows.scratchCount(
      queries: rows.queryCount, keys: rows.keyCount, backward: false)
    for part in range {
      for unit in part * units / parts..<(part + 1) * units / parts {
        unsafe run(unit / tiles, rows.queryTile(unit % tiles), scratch + part * floats)
      }
    }
  }

  private func run(_ lane: Int, _ tile: Range<Int>, _ logits: UnsafeMutablePointer<Float>) {
    let (sequence, head) = lane.quotientAndRemainder(dividingBy: rows.heads)
    let target = output.rows(sequence, head, rows.queryCount, rows.headDim, tile)
    let kernels = unsafe RowKernels.table
    func record(_ keys: Range<Int>) -> ek_attention_tile {
      var record = unsafe rows.tile(lane, tile, keys, logits)
      unsafe record.output = target.base
      unsafe record.output_stride = target.stride
      return unsafe record
    }
    rows.forEachKeyTile(tile) { keys in
      unsafe rows.writeLogits(lane, tile, keys, logits)
      var next = unsafe record(keys)
      unsafe kernels.pointee.attention_powers(&next)
      let values = rows.values.rows(sequence, head, rows.keyCount, rows.headDim, keys)
      let isFirst = keys.lowerBound == 0
      if tile.count == 1 {
        if isFirst { unsafe target.base.update(repeating: 0, count: rows.headDim) }
        unsafe kernels.pointee.add_product(
          logits, values.base, values.stride, target.base, keys.count, rows.headDim)
      } else {
        MatrixProduct.multiplyTile(
          unsafe StridedMatrix(logits, tile.count, keys.count), values,
          isFirst ? .overwrite : .accumulate, target)
      }
    }
    var last = unsafe record(0..<0)
    unsafe kernels.pointee.attention_finish(&last)
  }
}

/// The gradients of queries, keys and values, and of the bias, from that of the output.
@safe package struct AttentionBackward: PassWork {
  let rows: AttentionRows
  /// What the forward gave, and its gradient.
  let output: HeadRows
  let gradient: HeadRows
  let queryGradient: HeadRows
  let keyGradient: HeadRows
  let valueGradient: HeadRows
  /// `[B, H, distances]`, added to; nil where the bias is not trained.
  let distances: DistanceEntries?
  /// `[parts, scratchCount]`.
  let scratch: UnsafeMutablePointer<Float>
  let parts: Int

  package init(
    rows: AttentionRows, output: HeadRows, gradient: HeadRows, queryGradient: HeadRows,
    keyGradient: HeadRows, valueGradient: HeadRows, distances: DistanceEntries?,
    scratch: UnsafeMutablePointer<Float>, parts: Int
  ) {
    self.rows = rows
    self.output = output
    self.gradient = gradient
    self.queryGradient = queryGradient
    self.keyGradient = keyGradient
    self.valueGradient = valueGradient
    self.distances = distances
    unsafe self.scratch = scratch
    self.parts = parts
  }

  package func run(threads: Int) { Parallel.parts(parts, threads, self) }

  /// Does some of the parts: whole heads, whose tiles of queries add to the same keys' gradients.
  func run(_ range: Range<Int>) {
    let floats = AttentionRows.scratchCount(
      queries: rows.queryCount, keys: rows.keyCount, backward: true)
    for part in range {
      for lane in part * rows.lanes / parts..<(part + 1) * rows.lanes / parts {
        // The last tile meets all keys, so it writes what the others add to.
        for tile in (0..<rows.queryTiles).reversed() {
          unsafe run(lane, rows.queryTile(tile), scratch + part * floats)
        }
      }
    }
  }

  private func matrix(_ rows: HeadRows, _ lane: Int, _ range: Range<Int>, keys: Bool = false)
    -> StridedMatrix
  {
    let (sequence, head) = lane.quotientAndRemainder(dividingBy: self.rows.heads)
    return rows.rows(
      sequence, head, keys ? self.rows.keyCount : self.rows.queryCount, self.rows.headDim, range)
  }

  private func run(_ lane: Int, _ tile: Range<Int>, _ scratch: UnsafeMutablePointer<Float>) {
    let (means, logits) = unsafe (scratch, scratch + AttentionRows.queryTile)
    let most = min(AttentionRows.keyTile, rows.keyCount)
    let slopes = unsafe logits + min(AttentionRows.queryTile, rows.queryCount) * most
    let kernels = unsafe RowKernels.table
    let (output, above) = (matrix(output, lane, tile), matrix(gradient, lane, tile))
    unsafe kernels.pointee.dot_rows(
      output.base, output.stride, above.base, above.stride, means, tile.count, rows.headDim)
    let queries = matrix(rows.queries, lane, tile)
    let writing: GradientWriting = tile.upperBound == rows.queryCount ? .overwrite : .accumulate
    rows.forEachKeyTile(tile) { keys in
      let values = matrix(rows.values, lane, keys, keys: true)
      let p = unsafe StridedMatrix(logits, tile.count, keys.count)
      let slope = unsafe StridedMatrix(slopes, tile.count, keys.count)
      unsafe rows.writeLogits(lane, tile, keys, logits)
      MatrixProduct.multiplyTile(above, values.transposed, .overwrite, slope)
      var record = unsafe rows.tile(lane, tile, keys, logits)
      unsafe record.gradient = slopes
      unsafe record.means = means
      unsafe kernels.pointee.attention_gradient(&record)
      if let distances {
        unsafe rows.withDistances(
          distances.first + lane * distances.headStride, tile, keys, slopes
        ) { unsafe kernels.pointee.sum_by_distance($0) }
      }
      MatrixProduct.multiplyTile(
        p.transposed, above, writing, matrix(valueGradient, lane, keys, keys: true))
      MatrixProduct.multiplyTile(
        slope, matrix(rows.keys, lane, keys, keys: true), scale: rows.scale,
        keys.lowerBound == 0 ? .overwrite : .accumulate, matrix(queryGradient, lane, tile))
      MatrixProduct.multiplyTile(
        slope.transposed, queries, scale: rows.scale, writing,
        matrix(keyGradient, lane, keys, keys: true))
    }
  }
}
