// Attention and its backward, head by head in tiles of queries: with a causal mask a tile meets no key
// past its last query, which saves nearly half of the work.
//
// B batch, H heads, T context, d head dim, D = H*d.

internal import CKernels
internal import EmbedKernel

/// The sizes and the data of attention.
@safe struct AttentionRows {
  let batch: Int
  let heads: Int
  let context: Int
  let headDim: Int
  let isCausal: Bool
  /// Queries and keys, `[batch, context, 2, heads, headDim]`.
  let queriesAndKeys: UnsafeMutablePointer<Float>
  /// `[batch, context, heads, headDim]`.
  let values: UnsafeMutablePointer<Float>
  /// `[batch, heads, context, context]`.
  let probabilities: UnsafeMutablePointer<Float>

  static let tile = 64

  var dim: Int { heads * headDim }
  var scale: Float { Float(1 / Double(headDim).squareRoot()) }

  /// The rows of one head, in a tensor whose tokens are `stride` floats apart.
  func rows(
    of tensor: UnsafeMutablePointer<Float>, _ sequence: Int, offset: Int, stride: Int
  ) -> StridedMatrix {
    unsafe StridedMatrix(
      tensor + sequence * context * stride + offset, context, headDim, stride: stride)
  }

  func queries(_ tensor: UnsafeMutablePointer<Float>, _ sequence: Int, _ head: Int) -> StridedMatrix
  {
    unsafe rows(of: tensor, sequence, offset: head * headDim, stride: 2 * dim)
  }

  func keys(_ tensor: UnsafeMutablePointer<Float>, _ sequence: Int, _ head: Int) -> StridedMatrix {
    unsafe rows(of: tensor, sequence, offset: dim + head * headDim, stride: 2 * dim)
  }

  func outputs(_ tensor: UnsafeMutablePointer<Float>, _ sequence: Int, _ head: Int) -> StridedMatrix
  {
    unsafe rows(of: tensor, sequence, offset: head * headDim, stride: dim)
  }

  func probabilities(_ sequence: Int, _ head: Int) -> StridedMatrix {
    unsafe StridedMatrix(
      probabilities + (sequence * heads + head) * context * context, context, context)
  }

  /// The keys that a tile of queries meets.
  func keyCount(_ tile: Range<Int>) -> Int { isCausal ? tile.upperBound : context }

  /// The keys that a query sees.
  func visible(_ query: Int) -> Int { isCausal ? query + 1 : context }

  /// Calls `body` with each tile of queries.
  @inline(__always)
  func forEachTile(_ body: (Range<Int>) -> Void) {
    var start = 0
    while start < context {
      let end = min(context, start + Self.tile)
      body(start..<end)
      start = end
    }
  }
}

/// output = softmax(queries * keys^T / sqrt(d) + bias) * values, for heads counted over the batch.
@safe struct AttentionForward: PassWork {
  let rows: AttentionRows
  /// `[heads, context, context]`, or nil.
  let bias: UnsafeMutablePointer<Float>?
  /// `[batch, context, heads, headDim]`.
  let output: UnsafeMutablePointer<Float>

  func run(_ range: Range<Int>) {
    for lane in range { run(lane / rows.heads, lane % rows.heads) }
  }

  private func run(_ sequence: Int, _ head: Int) {
    let context = rows.context
    let queries = unsafe rows.queries(rows.queriesAndKeys, sequence, head)
    let keys = unsafe rows.keys(rows.queriesAndKeys, sequence, head)
    let values = unsafe rows.outputs(rows.values, sequence, head)
    let outputs = unsafe rows.outputs(output, sequence, head)
    let probabilities = rows.probabilities(sequence, head)
    rows.forEachTile { tile in
      let keyCount = rows.keyCount(tile)
      let part = probabilities.rows(tile).columns(0..<keyCount)
      if let bias = unsafe bias {
        for query in tile {
          let row = unsafe bias + (head * context + query) * context
          unsafe (probabilities.base + query * context).update(from: row, count: keyCount)
        }
      }
      MatrixProduct.multiplyTile(
        queries.rows(tile), keys.rows(0..<keyCount).transposed, scale: rows.scale,
        unsafe bias == nil ? .overwrite : .accumulate, part)
      for query in tile {
        unsafe RowKernels.table.pointee.softmax(
          probabilities.base + query * context, rows.visible(query), keyCount)
      }
      MatrixProduct.multiplyTile(part, values.rows(0..<keyCount), .overwrite, outputs.rows(tile))
    }
  }
}

/// The gradients of queries, keys and values, and of the bias, from that of the output.
@safe struct AttentionBackward: PassWork {
  let rows: AttentionRows
  /// That of the output, `[batch, context, heads, headDim]`.
  let gradient: UnsafeMutablePointer<Float>
  /// As `rows.queriesAndKeys`.
  let queryKeyGradient: UnsafeMutablePointer<Float>
  /// As `rows.values`.
  let valueGradient: UnsafeMutablePointer<Float>
  /// `[heads, context, context]`, added to; nil where the bias is not trained.
  let biasGradient: UnsafeMutablePointer<Float>?
  /// `[parts, tile, context]`.
  let scratch: UnsafeMutablePointer<Float>
  let parts: Int

  func run(threads: Int) { Parallel.shares(parts, self) }

  /// Does some of the parts: whole heads of all sequences where these share a bias's gradient.
  func run(_ range: Range<Int>) {
    let (batch, heads) = (rows.batch, rows.heads)
    for part in range {
      let unit = unsafe biasGradient == nil ? 1 : batch
      let count = batch * heads / unit
      for lane in part * count / parts * unit..<(part + 1) * count / parts * unit {
        unsafe run(lane % batch, lane / batch, scratch + part * AttentionRows.tile * rows.context)
      }
    }
  }

  private func run(_ sequence: Int, _ head: Int, _ scratch: UnsafeMutablePointer<Float>) {
    let context = rows.context
    let queries = unsafe rows.queries(rows.queriesAndKeys, sequence, head)
    let keys = unsafe rows.keys(rows.queriesAndKeys, sequence, head)
    let values = unsafe rows.outputs(rows.values, sequence, head)
    let outputGradient = unsafe rows.outputs(gradient, sequence, head)
    let queryGradient = unsafe rows.queries(queryKeyGradient, sequence, head)
    let keyGradient = unsafe rows.keys(queryKeyGradient, sequence, head)
    let valueGradient = unsafe rows.outputs(valueGradient, sequence, head)
    let probabilities = rows.probabilities(sequence, head)
    // The last tile meets all keys, so it writes what the others add to.
    rows.forEachTileFromLast { tile in
      let keyCount = rows.keyCount(tile)
      let writing: GradientWriting = tile.upperBound == context ? .overwrite : .accumulate
      let part = probabilities.rows(tile).columns(0..<keyCount)
      let logitGradient = unsafe StridedMatrix(scratch, tile.count, keyCount, stride: context)
      let outputGradient = outputGradient.rows(tile)
      MatrixProduct.multiplyTile(
        outputGradient, values.rows(0..<keyCount).transposed, .overwrite, logitGradient)
      MatrixProduct.multiplyTile(
        part.transposed, outputGradient, writing, valueGradient.rows(0..<keyCount))
      for query in tile {
        let row = unsafe scratch + (query - tile.lowerBound) * context
        unsafe RowKernels.table.pointee.softmax_backward(
          probabilities.base + query * context, row, rows.visible(query), keyCount)
        if let biasGradient = unsafe biasGradient {
          let sum = unsafe biasGradient + (head * context + query) * context
          for key in 0..<rows.visible(query) { unsafe sum[key] += row[key] }
        }
      }
      MatrixProduct.multiplyTile(
        logitGradient, keys.rows(0..<keyCount), scale: rows.scale, .overwrite,
        queryGradient.rows(tile))
      MatrixProduct.multiplyTile(
        logitGradient.transposed, queries.rows(tile), scale: rows.scale, writing,
        keyGradient.rows(0..<keyCount))
    }
  }
}

extension AttentionRows {
  /// Calls `body` with each tile of queries, the last first.
  @inline(__always)
  fileprivate func forEachTileFromLast(_ body: (Range<Int>) -> Void) {
    var start = (context - 1) / Self.tile * Self.tile
    while start >= 0 {
      body(start..<min(context, start + Self.tile))
      start -= Self.tile
    }
  }
}
