// The steps of `step`: one for each gradient of a file, dense or of listed rows, clipped or not.

internal import EmbedKernel

extension Step {
  /// Reads the gradients, checks all before any step is taken, and takes the steps.
  ///
  /// - Returns: Each gradient's norm, where norms are wanted.
  static func takeSteps(
    _ optimizer: TableOptimizer, _ clipping: Clipping, gradients path: String,
    rows rowPath: String?, _ kernels: Kernels
  ) throws -> [Double] {
    let file = try ArrayFile(path)
    try file.require(rank: 3)
    let rows = try rowPath.map { try TokenBatch(ArrayFile($0)) }
    let (count, listed) = (rows?.batch ?? file.shape[0], rows?.context ?? optimizer.rows)
    let dim = optimizer.dim
    try file.require(shapes: [[count, listed, dim]])
    if let rows, let rowPath { try check(rows, rowPath, optimizer) }
    let values = try file.floats()

    let shape = EmbeddingShape(vocabulary: optimizer.rows, batch: 1, context: listed, dim: dim)
    var groups = try RowGroups(capacity: rows == nil ? 0 : listed)
    var workspace = try BackwardWorkspace()
    var sums = try RowSparseGradient(rows: optimizer.rows, dim: dim)
    var norms: [Double] = []
    for step in 0..<count {
      let gradient = values.span.extracting(step * listed * dim..<(step + 1) * listed * dim)
      let ids = rows.map { Array($0.ids[step * listed..<(step + 1) * listed]) }
      var factor: Float = 1
      if clipping.measures {
        var norm = try GradientNorm(order: clipping.order)
        if let ids {
          try kernels.backward(
            gradient, ids: ids.span, shape: shape, tokens: .rowSparse(&sums), positions: .none,
            workspace: &workspace)
          norm.add(sums)
        } else {
          norm.add(gradient)
        }
        norms.append(norm.value)
        factor = try clipping.factor(norm)
      }
      if let ids {
        try groups.group(ids.span, context: listed, vocabulary: optimizer.rows)
        try optimizer.step(outputGradient: gradient, groups: groups, scale: factor, using: kernels)
      } else {
        try optimizer.step(dense: gradient, scale: factor, using: kernels)
      }
    }
    return norms
  }

  /// Checks that each step's rows are the table's, with the place in the file: a step knows its own alone.
  private static func check(
    _ rows: TokenBatch, _ path: String, _ optimizer: TableOptimizer
  ) throws(CommandError) {
    for (index, row) in rows.ids.enumerated() where !(0..<Int64(optimizer.rows)).contains(row) {
      throw .data(
        "'\(path)': row \(row) at \([index / rows.context, index % rows.context]) is outside the "
          + "table's \(plural(optimizer.rows, "row")) (0...\(optimizer.rows - 1))")
    }
  }
}
