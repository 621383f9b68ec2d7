// The first way in: memory and arithmetic of your own, and kernels called on spans of it.

import EmbedKernel

/// The loss of each step, trained by kernels on spans and a head of plain loops.
func trainSpans(_ task: PairTask, steps: Int, rate: Double) throws -> [Double] {
  let (tokens, positions, output) = try task.makeTables()
  let rule = try UpdateRule.sgd(learningRate: .constant(rate))
  let tokenSteps = try TableOptimizer(rule, for: tokens)
  let positionSteps = try TableOptimizer(rule, for: positions)
  let outputSteps = try TableOptimizer(rule, for: output)

  let (n, v, d) = (task.tokens, task.vocabulary, task.dim)
  let shape = EmbeddingShape(vocabulary: v, batch: task.batch, context: task.context, dim: d)
  var hidden = [Float](repeating: 0, count: n * d)
  var hiddenGradient = [Float](repeating: 0, count: n * d)
  var logits = [Float](repeating: 0, count: n * v)
  var tokenGradient = try RowSparseGradient(rows: v, dim: d)
  var positionGradient = [Float](repeating: 0, count: task.context * d)
  var outputGradient = [Float](repeating: 0, count: v * d)
  var workspace = try BackwardWorkspace(capacity: n)

  var losses: [Double] = []
  for step in 0..<steps {
    let (ids, targets) = task.batch(step)
    var states = hidden.mutableSpan
    try Kernels.auto.embed(
      ids: ids.span, tokens: tokens.span, positions: positions.span, shape: shape, into: &states)
    multiply(hidden, output, rows: n, into: &logits)
    var scores = logits.mutableSpan
    losses.append(crossEntropy(&scores, targets, vocabulary: v))

    multiplyBack(logits, hidden, output, into: &hiddenGradient, &outputGradient)
    var rows = positionGradient.mutableSpan
    try Kernels.auto.backward(
      hiddenGradient.span, ids: ids.span, shape: shape, tokens: .rowSparse(&tokenGradient),
      positions: .dense(&rows, .overwrite), workspace: &workspace)
    try tokenSteps.step(tokenGradient)
    try positionSteps.step(dense: positionGradient.span)
    try outputSteps.step(dense: outputGradient.span)
  }
  return losses
}

/// logits = hidden * table^T
private func multiply(
  _ hidden: [Float], _ table: EmbeddingTable<Float>, rows: Int, into logits: inout [Float]
) {
  let (v, d) = (table.rows, table.dim)
  let weights = table.span
  for n in 0..<rows {
    for row in 0..<v {
      var sum: Float = 0
      for i in 0..<d { sum += hidden[n * d + i] * weights[row * d + i] }
      logits[n * v + row] = sum
    }
  }
}

/// hiddenGradient = gradient * table, tableGradient = gradient^T * hidden
private func multiplyBack(
  _ gradient: [Float], _ hidden: [Float], _ table: EmbeddingTable<Float>,
  into hiddenGradient: inout [Float], _ tableGradient: inout [Float]
) {
  let (v, d) = (table.rows, table.dim)
  let weights = table.span
  for i in hiddenGradient.indices { hiddenGradient[i] = 0 }
  for i in tableGradient.indices { tableGradient[i] = 0 }
  for n in 0..<gradient.count / v {
    for row in 0..<v {
      let g = gradient[n * v + row]
      for i in 0..<d {
        hiddenGradient[n * d + i] += g * weights[row * d + i]
        tableGradient[row * d + i] += g * hidden[n * d + i]
      }
    }
  }
}
