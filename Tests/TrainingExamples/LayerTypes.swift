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
    try optimizer.forward(ids, batch: batch, context: context, into: &hidden)
    try head.logits(hidden, rows: task.tokens, into: &logits)
    var scores = logits.mutableSpan
    losses.append(crossEntropy(&scores, targets, vocabulary: task.vocabulary))

    headGradient.removeAll()
    try head.backward(
      logits, hidden: hidden, rows: task.tokens, hiddenGradient: &hiddenGradient,
      tableGradient: &headGradient)
    try optimizer.step(outputGradient: hiddenGradient)
    try headOptimizer.step(headGradient)
  }
  return losses
}

/// The same, the norm of all gradients together held to `maximum`.
func trainClipped(
  _ layer: InputEmbedding, _ head: TiedProjection, _ task: PairTask, steps: Int, rate: Double,
  maximum: Double
) throws -> [Double] {
  let rule = try UpdateRule.sgd(learningRate: .constant(rate))
  let optimizer = try Optimizer(rule, for: layer)
  let headOptimizer = try TableOptimizer(rule, for: head.tokens.table)

  let (batch, context) = (task.batch, task.context)
  var hidden = try layer.makeOutput(batch: batch, context: context)
  var hiddenGradient = try layer.makeOutput(batch: batch, context: context)
  var logits = [Float](repeating: 0, count: task.tokens * task.vocabulary)
  var headGradient = try TableGradient(for: head.tokens.table)
  var gradient = try layer.makeGradient(capacity: task.tokens)

  var losses: [Double] = []
  for step in 0..<steps {
    let (ids, targets) = task.batch(step)
    try layer.forward(ids, batch: batch, context: context, into: &hidden)
    try head.logits(hidden, rows: task.tokens, into: &logits)
    var scores = logits.mutableSpan
    losses.append(crossEntropy(&scores, targets, vocabulary: task.vocabulary))

    headGradient.removeAll()
    try head.backward(
      logits, hidden: hidden, rows: task.tokens, hiddenGradient: &hiddenGradient,
      tableGradient: &headGradient)
    try layer.backward(hiddenGradient, ids: ids, batch: batch, context: context, into: &gradient)
    var norm = GradientNorm()
    norm.add(gradient.tokens)
    norm.add(gradient.positions)
    norm.add(headGradient.values)
    let factor = try norm.clipFactor(maximum: maximum)
    try optimizer.step(gradient, scale: factor)
    try headOptimizer.step(headGradient, scale: factor)
  }
  return losses
}
