// All parameters as one vector, in the order of the model, and which rank steps which stretch of it: as many
// floats each, but that rows stay whole.

internal import EmbedDistributed
internal import EmbedKernel

/// A model's parameters in the order in which they are stepped.
struct SteppedParameters {
  /// All, a divided head's own table last.
  let all: [Parameter]
  /// The number of those whose gradients groups sum.
  let summed: Int

  init(_ model: GPT, _ options: TrainingOptions) {
    guard options.vocabularyBlocks != nil, model.configuration.head == .untied else {
      (all, summed) = (model.parameters, model.parameters.count)
      return
    }
    all = model.parameters.filter { $0 !== model.head } + [model.head]
    summed = all.count - 1
  }
}

/// Where parameters stand in the vector of all, and whose they are.
package struct ParameterLayout {
  /// Where each parameter begins, and the number of all floats.
  package let starts: [Int]
  /// Where each rank's stretch begins, and the number of all floats.
  let bounds: [Int]
  private let dims: [Int]

  /// Rows of a parameter that a rank steps.
  package struct Part: Equatable {
    package let parameter: Int
    package let rows: Range<Int>
    /// Where they begin in the vector of all parameters.
    package let place: Int
  }

  package init(_ parameters: [Parameter], ranks: Int) {
    var starts = [0]
    for parameter in parameters {
      starts.append(starts[starts.count - 1] + parameter.table.rows * parameter.table.dim)
    }
    let dims = parameters.map(\.table.dim)
    let count = starts[starts.count - 1]
    bounds = (0...ranks).map { rank in
      let place = rank == ranks ? count : Partition.share(count, ranks, rank).lowerBound
      guard place > 0, place < count else { return place }
      let parameter = starts.lastIndex { $0 <= place } ?? 0
      let (start, dim) = (starts[parameter], dims[parameter])
      return start + (place - start + dim - 1) / dim * dim
    }
    self.starts = starts
    self.dims = dims
  }

  /// The number of all floats.
  package var count: Int { starts[starts.count - 1] }

  /// The stretch that a rank steps.
  package func stretch(of rank: Int) -> Range<Int> { bounds[rank]..<bounds[rank + 1] }

  /// The rows that a rank steps.
  package func parts(of rank: Int) -> [Part] {
    let stretch = stretch(of: rank)
    return dims.indices.compactMap { parameter in
      let whole = starts[parameter]..<starts[parameter + 1]
      let own = whole.clamped(to: stretch)
      guard !own.isEmpty else { return nil }
      let dim = dims[parameter]
      let first = (own.lowerBound - whole.lowerBound) / dim
      return Part(
        parameter: parameter, rows: first..<first + own.count / dim, place: own.lowerBound)
    }
  }
}

/// Rows of a parameter that this rank steps, and their optimiser.
struct ParameterShard {
  let part: ParameterLayout.Part
  let parameter: Parameter
  /// The parameter's own, where its rows are all this rank's alone; else a copy of some.
  let table: EmbeddingTable<Float>
  let optimizer: TableOptimizer

  init(
    _ part: ParameterLayout.Part, of parameter: Parameter, alone: Bool, _ rule: UpdateRule
  ) throws(EmbedError) {
    self.part = part
    self.parameter = parameter
    table =
      alone
      ? parameter.table
      : try EmbeddingTable<Float>(rows: part.rows.count, dim: parameter.table.dim)
    optimizer = try TableOptimizer(rule, for: table)
  }

  /// The number of floats.
  var count: Int { table.rows * table.dim }

  /// The place of the first in the whole parameter.
  var first: Int { part.rows.lowerBound * table.dim }

  /// The rows as they stand in the parameter.
  @unsafe var rows: UnsafeMutablePointer<Float> {
    unsafe parameter.matrix.base + first
  }

  /// Steps the parameter's rows by their gradient, `[rows, dim]`.
  func step(
    _ gradient: UnsafeBufferPointer<Float>, scale: Float, _ kernels: Kernels
  ) throws(EmbedError) {
    let own = unsafe table.unsafeBuffer.baseAddress.unsafelyUnwrapped
    let isCopy = unsafe own != rows
    if isCopy { unsafe own.update(from: rows, count: count) }
    try unsafe optimizer.step(dense: gradient, scale: scale, using: kernels)
    if isCopy { unsafe rows.update(from: own, count: count) }
  }
}
