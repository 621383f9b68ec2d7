// The steps of `step`: one for each gradient of the file, dense or of listed rows, clipped or not.

internal import EmbedKernel

/// An optimiser and the gradients that it is to take.
struct StepRun: ~Copyable {
  private let optimizer: TableOptimizer
  private let clipping: Clipping
  private let count: Int
  private let values: AlignedBuffer<Float>
  private let rows: TokenBatch?
  private let kernels: Kernels

  /// Reads the files, and checks them before any step is taken.
  init(
    _ optimizer: TableOptimizer, _ clipping: Clipping, gradients path: String,
    rows rowPath: String?, _ kernels: Kernels
  ) throws {
    let file = try ArrayFile(path)
    try file.require(rank: 3)
    let rows = try rowPath.map { try TokenBatch(contentsOf: $0) }
    let count = rows?.batch ?? file.shape[0]
    try file.require(shape: [count, rows?.context ?? optimizer.rows, optimizer.dim])
    if let rows, let rowPath {
      // With the place in the file: a step knows its own rows alone.
      for index in 0..<rows.count where !(0..<optimizer.rows).contains(rows[index]) {
        throw CommandError.data(
          "'\(rowPath)': row \(rows[index]) at \([index / rows.context, index % rows.context]) is "
            + "outside the table's \(plural(optimizer.rows, "row")) (0...\(optimizer.rows - 1))")
      }
    }
    let values = try file.floats(rank: 3)
    self.optimizer = optimizer
    self.clipping = clipping
    self.kernels = kernels
    self.rows = rows
    self.count = count
    self.values = values
  }

  /// Takes the steps.
  ///
  /// - Returns: Each gradient's norm, where norms are wanted.
  func steps() throws -> [Double] {
    try rows == nil ? denseSteps() : listedSteps()
  }

  private func denseSteps() throws -> [Double] {
    let size = optimizer.rows * optimizer.dim
    var norms: [Double] = []
    for step in 0..<count {
      let gradient = values.span.extracting(step * size..<(step + 1) * size)
      var factor: Float = 1
      if clipping.measures {
        var norm = try GradientNorm(order: clipping.order)
        norm.add(gradient)
        norms.append(norm.value)
        factor = try clipping.factor(norm)
      }
      try optimizer.step(dense: gradient, scale: factor, using: kernels)
    }
    return norms
  }

  private func listedSteps() throws -> [Double] {
    guard let rows else { return [] }
    let (listed, dim) = (rows.context, optimizer.dim)
    let shape = EmbeddingShape(vocabulary: optimizer.rows, batch: 1, context: listed, dim: dim)
    var groups = try RowGroups(capacity: listed)
    var workspace = try BackwardWorkspace()
    var sums = try RowSparseGradient(rows: optimizer.rows, dim: dim)
    var norms: [Double] = []
    for step in 0..<count {
      let ids = (step * listed..<(step + 1) * listed).map { Int64(rows[$0]) }
      try groups.group(ids.span, context: listed, vocabulary: optimizer.rows)
      let gradient = values.span.extracting(step * listed * dim..<(step + 1) * listed * dim)
      var factor: Float = 1
      if clipping.measures {
        try kernels.backward(
          gradient, ids: ids.span, shape: shape, tokens: .rowSparse(&sums), positions: .none,
          workspace: &workspace)
        var norm = try GradientNorm(order: clipping.order)
        norm.add(sums)
        norms.append(norm.value)
        factor = try clipping.factor(norm)
      }
      try optimizer.step(
        outputGradient: gradient, groups: groups, scale: factor, using: kernels)
    }
    return norms
  }
}
