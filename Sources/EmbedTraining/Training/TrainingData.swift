// A text's tokens, split into a part that is trained on and a part that is held back.

internal import EmbedData

/// The tokens of a run.
public struct TrainingData: Sendable {
  /// What is trained on: the text from its beginning.
  public let training: [Int32]
  /// What is held back: the text's end.
  public let validation: [Int32]
  /// The tokens of a sequence.
  public let context: Int

  /// Splits a text's tokens.
  ///
  /// - Parameters:
  ///   - context: The tokens of a sequence.
  ///   - validationShare: The share of the tokens that is held back, 0 or more and below 1.
  /// - Throws: `invalidSetting` for a context below 1 or a share outside its range, `textTooShort`
  ///   where a part, other than an empty one asked for, is shorter than a sequence and its target.
  public init(
    tokens: [Int32], context: Int, validationShare: Double = 0.1
  ) throws(TrainingError) {
    guard context >= 1 else {
      throw .invalidSetting(name: "context", value: "\(context)", expected: "1 or more")
    }
    guard validationShare >= 0, validationShare < 1 else {
      throw .invalidSetting(
        name: "validation share", value: "\(validationShare)", expected: "0 or more and below 1")
    }
    validation = Array(Self.held(tokens, share: validationShare))
    training = Array(tokens.dropLast(validation.count))
    self.context = context
    for (part, count) in [("training", training.count), ("validation", validation.count)]
    where count <= context && (part == "training" || validationShare > 0) {
      throw .textTooShort(part: part, tokens: count, needed: max(context, context &+ 1))
    }
  }

  /// The end of a text that is held back.
  package static func held(_ tokens: [Int32], share: Double) -> ArraySlice<Int32> {
    tokens.suffix(Int(saturating: (Double(tokens.count) * share).rounded()))
  }

  /// The training batches of a pass over the text.
  func loader(batch: Int, seed: UInt64, epoch: Int) throws(TrainingError) -> WindowLoader {
    let loader: WindowLoader
    do throws(DataError) {
      loader = try WindowLoader(
        tokens: training, context: context, batchSize: batch,
        order: .shuffled(seed: seed, epoch: UInt64(epoch)))
    } catch {
      throw .data(error)
    }
    guard loader.batchCount > 0 else {
      throw .textTooShort(part: "training", tokens: training.count, needed: batch * context + 1)
    }
    return loader
  }
}
