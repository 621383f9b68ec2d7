// The third way in: a loss written as a function, which Swift differentiates.

import EmbedDifferentiable
import EmbedKernel
import _Differentiation

/// An input layer and an output table.
struct PairModel: Differentiable {
  var layer: InputLayer
  var output: Matrix
}

/// The mean loss of a batch, differentiable in the model.
@differentiable(reverse,wrt: model)
func loss(_ model: PairModel, _ input: InputBatch, _ targets: [Int32]) -> Float {
  meanLoss(tiedLogits(hidden: model.layer(input), table: model.output), targets)
}

/// The loss of each step, trained along the gradients that Swift derives.
func trainDifferentiably(_ task: PairTask, steps: Int, rate: Double) throws -> [Double] {
  let (tokens, positions, output) = try task.makeTables()
  let layer = try InputLayer(tokens: Matrix(tokens), positions: Matrix(positions))
  var model = PairModel(layer: layer, output: Matrix(output))

  var losses: [Double] = []
  for step in 0..<steps {
    let (ids, targets) = task.batch(step)
    let input = try InputBatch(ids, batch: task.batch, context: task.context, for: model.layer)
    let (value, gradient) = valueWithGradient(at: model) { loss($0, input, targets) }
    losses.append(Double(value))
    model.layer.tokens.add(gradient.layer.tokens, times: -Float(rate))
    model.layer.positions.add(gradient.layer.positions, times: -Float(rate))
    model.output.add(gradient.output, times: -Float(rate))
  }
  return losses
}

/// The mean cross-entropy of logits `[targets.count, V]`, with the derivative that it computes anyway.
@differentiable(reverse,wrt: logits)
private func meanLoss(_ logits: Matrix, _ targets: [Int32]) -> Float {
  var scores = logits.elements
  var span = scores.mutableSpan
  return Float(crossEntropy(&span, targets, vocabulary: logits.dim))
}

@derivative(of: meanLoss, wrt: logits)
private func derivativeOfMeanLoss(
  _ logits: Matrix, _ targets: [Int32]
) -> (value: Float, pullback: (Float) -> Matrix) {
  var scores = logits.elements
  var span = scores.mutableSpan
  let value = Float(crossEntropy(&span, targets, vocabulary: logits.dim))
  let (rows, dim) = (logits.rows, logits.dim)
  return (
    value,
    { factor in
      // The sizes are those of logits that exist.
      guard let gradient = try? Matrix(rows: rows, dim: dim, scores) else { return .zero }
      var scaled = Matrix.zero
      scaled.add(gradient, times: factor)
      return scaled
    }
  )
}
