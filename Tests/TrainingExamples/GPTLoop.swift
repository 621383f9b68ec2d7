// The package's own model in a loop of yours: its gradients, and an optimiser for each parameter.

import EmbedKernel
import EmbedTraining

/// The loss of each step of a small GPT.
func trainGPT(_ task: PairTask, steps: Int, rate: Double) throws -> [Double] {
  let sizes = GPTConfiguration(
    vocabulary: task.vocabulary, context: task.context, dim: task.dim, heads: 2, layers: 1,
    positions: .learned)
  let model = try GPT(sizes, seed: 1)
  let workspace = try GPTWorkspace(
    for: model, batch: task.batch, context: task.context, purpose: .training)
  let rule = try UpdateRule.adam(learningRate: .constant(rate))
  let optimizers = try model.parameters.map { try TableOptimizer(rule, for: $0.table) }

  var losses: [Double] = []
  for step in 0..<steps {
    let (ids, targets) = task.batch(step)
    let (inputs, following) = (ids.span, targets.span)
    losses.append(
      try model.gradients(
        inputs, targets: following, batch: task.batch, context: task.context, .overwrite,
        in: workspace))
    for (parameter, optimizer) in zip(model.parameters, optimizers) {
      try optimizer.step(parameter.gradient)
    }
  }
  return losses
}

/// The same by the trainer, which clips, warms up and decays the rate.
func trainWithTrainer(_ task: PairTask, steps: Int, rate: Double) throws -> [Double] {
  let sizes = GPTConfiguration(
    vocabulary: task.vocabulary, context: task.context, dim: task.dim, heads: 2, layers: 1,
    positions: .rope)
  let trainer = try Trainer(
    GPT(sizes, seed: 1),
    TrainingOptions(batch: task.batch, steps: steps, learningRate: rate, warmup: 10))
  return try (0..<steps).map { step in
    let (ids, targets) = task.batch(step)
    let (inputs, following) = (ids.span, targets.span)
    return try trainer.step(ids: inputs, targets: following).loss
  }
}
