// A model on a text of any length: its tokens go to a file, of which the pages in use are in memory.

import EmbedData
import EmbedTraining

/// The loss of each step of a small GPT on the text at `path`, and what it writes then.
func trainOnText(
  _ path: String, vocabulary: String, tokens: String, steps: Int
) throws -> (losses: [Double], sample: String) {
  let tokenizer = try BytePairTokenizer(vocabulary: vocabulary)
  let written = try TokenFile.write(tokenizing: path, with: tokenizer, to: tokens)
  let loader = try WindowLoader(
    file: TokenFile(path: tokens, width: written.width), context: 16, batchSize: 4,
    order: .shuffled(seed: 1))

  let sizes = GPTConfiguration(
    vocabulary: tokenizer.vocabularySize, context: 16, dim: 16, heads: 2, layers: 1,
    positions: .rope)
  let trainer = try Trainer(
    GPT(sizes, seed: 1), TrainingOptions(batch: 4, steps: steps, learningRate: 1e-2, warmup: 10))
  var losses: [Double] = []
  for step in 0..<steps {
    let batch = try loader.batch(step % loader.batchCount)
    let (inputs, targets) = (batch.inputs.span, batch.targets.span)
    losses.append(try trainer.step(ids: inputs, targets: targets).loss)
  }
  // A vocabulary may leave ids unused, which have no text.
  let used = (0..<Int32(tokenizer.vocabularySize)).filter { tokenizer.hasToken($0) }
  let drawn = try trainer.model.sample(after: tokenizer.encode("The"), count: 20, from: used)
  return (losses, try tokenizer.decodeText(drawn))
}
