// The second way in: layers that know their shapes and their backward, and an optimiser for them.

import EmbedKernel

/// The loss of each step, trained by the package's layer, head and optimisers.
func trainLayers(_ task: PairTask, steps: Int, rate: Double) throws -> [Double] {
  let (tokens, positions, output) = try task.makeTables()
  let layer = try InputEmbedding(tokens: TokenEmbedding(table: tokens), positions: positions)
  let head = try TiedProjection(TokenEmbedding(table: output))
  return try trainLayers(layer, head, task, steps: steps, rate: rate)
}

/// The same with any layer and head.
func trainLayers(
  _ layer: InputEmbedding, _ head: TiedProjection, _ task: PairTask, steps: Int, rate: Double
) throws -> [Double] {
  let rule = try UpdateRule.sgd(learningRate: .constant(rate))
  let optimizer = try Optimizer(rule, for: layer)
  let headOptimizer = try TableOptimizer(rule, for: head.tokens.table)

  let (batch, context) = (task.batch, task.context)
  var hidden = try layer.makeOutput(batch: batch, context: context)
  var hiddenGradient = try layer.makeOutput(batch: batch, context: context)
  var logits = try AlignedBuffer<Float>(count: task.tokens * task.vocabulary)
  var headGradient = try TableGradient(for: head.tokens.table)

  var losses: [Double] = []
  for step in 0..<steps {
    let (ids, targets) = task.batch(step)
    var states = hidden.mutableSpan
    try optimizer.forward(ids.span, batch: batch, context: context, into: &states)
    var scores = logits.mutableSpan
    try head.logits(hidden.span, rows: task.tokens, into: &scores)
    losses.append(crossEntropy(&scores, targets, vocabulary: task.vocabulary))

    headGradient.removeAll()
    var stateGradient = hiddenGradient.mutableSpan
    try head.backward(
      logits.span, hidden: hidden.span, rows: task.tokens, hiddenGradient: &stateGradient,
      tableGradient: &headGradient)
    try optimizer.step(outputGradient: hiddenGradient.span)
    try headOptimizer.step(headGradient)
  }
  return losses
}
