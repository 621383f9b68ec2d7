// The fused input layer with its derivative registered: `gradient(at:)` through it runs the kernels'
// backward.
//
// N tokens, V vocabulary, D dim.

public import EmbedKernel
public import _Differentiation

/// Token, position and segment embedding with normalisation, differentiable in all parameters.
///
/// A part that is `.zero` is absent. What is not differentiated is in `configuration`.
public struct InputLayer: Differentiable {
  /// Shape `[vocabulary, dim]`.
  public var tokens: Matrix
  /// Shape `[maximum, dim]`.
  public var positions: Matrix
  /// Shape `[segments, dim]`.
  public var segments: Matrix
  /// The normalisation's gain, shape `[1, dim]`; absent where there is no normalisation.
  public var gamma: Matrix
  /// The normalisation's offset, shape `[1, dim]`.
  public var beta: Matrix
  /// Scale, kind of normalisation, dropout, and the kernels that run.
  @noDerivative public let configuration: Configuration

  /// What training does not move.
  public struct Configuration: Sendable {
    /// Multiplies token rows.
    public var scale: EmbeddingScale
    /// What a row is divided by, where there is a gain.
    public var normalization: Normalization.Kind
    /// What keeps the divisor from 0.
    public var epsilon: Float
    /// What is dropped in training.
    public var dropout: Dropout?
    /// The backend and threads.
    public var kernels: Kernels

    /// Takes the choices as they are.
    public init(
      scale: EmbeddingScale = .one, normalization: Normalization.Kind = .layer,
      epsilon: Float = 1e-5, dropout: Dropout? = nil, kernels: Kernels = .auto
    ) {
      self.scale = scale
      self.normalization = normalization
      self.epsilon = epsilon
      self.dropout = dropout
      self.kernels = kernels
    }
  }

  /// Composes parameters.
  ///
  /// - Throws: `EmbedError` where parts do not fit together; `invalidSize` for absent tokens.
  public init(
    tokens: Matrix, positions: Matrix = .zero, segments: Matrix = .zero, gamma: Matrix = .zero,
    beta: Matrix = .zero, configuration: Configuration = Configuration()
  ) throws(EmbedError) {
    self.tokens = tokens
    self.positions = positions
    self.segments = segments
    self.gamma = gamma
    self.beta = beta
    self.configuration = configuration
    _ = try makeLayer()
  }

  /// The layer of these parameters, which shares their memory.
  func makeLayer() throws(EmbedError) -> FusedInputEmbedding<Float> {
    guard let table = tokens.table else {
      throw .invalidSize(argument: "rows of the tokens", value: 0, expected: "1 or more")
    }
    var normalization: Normalization?
    if let gamma = gamma.table {
      normalization = try Normalization(
        configuration.normalization, gamma: gamma, beta: beta.table,
        epsilon: configuration.epsilon)
    } else if beta.rows > 0 {
      throw .invalidSize(argument: "rows of gamma beside a beta", value: 0, expected: "1")
    }
    return try FusedInputEmbedding(
      InputEmbedding(
        tokens: TokenEmbedding(table: table), positions: positions.table,
        scale: configuration.scale),
      segments: segments.table, normalization: normalization, dropout: configuration.dropout)
  }

  /// The input embeddings of a batch, shape `[batch * context, dim]`.
  ///
  /// - Precondition: The batch was checked against a layer with tables of these sizes.
  @differentiable(reverse,wrt: self)
  public func callAsFunction(_ input: InputBatch) -> Matrix {
    let output = allocate(input.batch * input.context, tokens.dim)
    trapping { () throws(EmbedError) in
      var rows = unsafe output.unsafeBuffer
      try unsafe makeLayer().forward(
        input.ids, segmentIDs: input.segmentIDs, batch: input.batch, context: input.context,
        at: input.place, trainingStep: input.trainingStep, into: &rows,
        using: configuration.kernels)
    }
    return Matrix(output)
  }

  /// The value and its pullback: the fused backward, whose rows are summed into dense tangents.
  @derivative(of: callAsFunction, wrt: self)
  public func derivative(
    _ input: InputBatch
  ) -> (value: Matrix, pullback: (Matrix) -> TangentVector) {
    (self(input), { pullBack($0, input) })
  }

  private func pullBack(_ tangent: Matrix, _ input: InputBatch) -> TangentVector {
    guard let outputGradient = tangent.table else { return .zero }
    return trapping { () throws(EmbedError) in
      let layer = try makeLayer()
      var gradient = try FusedEmbeddingGradient(for: layer, capacity: input.ids.count)
      let (weights, ids, segmentIDs) = (outputGradient.span, input.ids.span, input.segmentIDs?.span)
      try layer.backward(
        weights, ids: ids, segmentIDs: segmentIDs, batch: input.batch, context: input.context,
        at: input.place, trainingStep: input.trainingStep, into: &gradient,
        using: configuration.kernels)
      return TangentVector(
        tokens: sum(
          gradient.rows, by: input.ids.map { Int($0) },
          scale: configuration.scale.factor(dim: tokens.dim), like: tokens),
        positions: sum(gradient.rows, by: places(input), scale: 1, like: positions),
        segments: matrix(gradient.segments, like: segments),
        gamma: matrix(gradient.gamma, like: gamma), beta: matrix(gradient.beta, like: beta))
    }
  }

  private func places(_ input: InputBatch) -> [Int] {
    var places = [Int](repeating: 0, count: input.ids.count)
    input.place.withPlaces(context: input.context) { runs in
      runs.forEachRun(context: input.context, in: 0..<places.count) { start, count, position in
        for k in 0..<count { places[start + k] = position + k }
      }
    }
    return places
  }
}

/// A dense gradient from rows: each is added, times `scale`, to the row that `indices` names.
private func sum(
  _ rows: Span<Float>, by indices: [Int], scale: Float, like parameter: Matrix
) -> Matrix {
  guard parameter.rows > 0 else { return .zero }
  let dim = parameter.dim
  let target = allocate(parameter.rows, dim)
  for (n, index) in indices.enumerated() {
    for i in 0..<dim { unsafe target.unsafeBuffer[index * dim + i] += scale * rows[n * dim + i] }
  }
  return Matrix(target)
}

private func matrix(_ values: Span<Float>, like parameter: Matrix) -> Matrix {
  guard parameter.rows > 0 else { return .zero }
  let target = allocate(parameter.rows, parameter.dim)
  for i in 0..<values.count { unsafe target.unsafeBuffer[i] = values[i] }
  return Matrix(target)
}
