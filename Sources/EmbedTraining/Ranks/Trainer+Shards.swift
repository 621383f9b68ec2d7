// A checkpoint of which each rank writes its shard: what it steps of the parameters, and AdamW's moments of that, into
// their places in whole tensors.

internal import EmbedDistributed
internal import EmbedKernel

extension Trainer {
  /// Writes the state to files in a folder, each rank what it steps: the model's, the optimiser's, and then
  /// model.safetensors.index.json, which names both and with which transformers opens the model. Until the index takes
  /// the old one's place, whatever ends the ranks, it names the files of the checkpoint before. The files are the same
  /// bytes for any number of ranks. All ranks call; the folder exists, and all see it.
  ///
  /// - Parameter texts: As for `save(to:texts:)`.
  /// - Throws: `ranks` with a file's fault, also of another rank; the checkpoint before is then whole.
  /// - Complexity: Each rank writes 12 bytes for each parameter that it steps, and sends none of them.
  public func saveShards(to folder: String, texts: [String: String] = [:]) throws(TrainingError) {
    let texts = texts.merging(allTexts.merging(["format": "pt"]) { $1 }) { $1 }
    try TrainingError.wrappingRanks { () throws(DistributedError) in
      try ranks.agree(savedFacts(folder))
      try CheckpointIndex.write(
        to: folder, step: stepCount, [(modelParts, texts)], optimizer: (stateParts, texts),
        over: ranks)
    }
  }

  /// What this rank steps of each parameter.
  private var modelParts: [SharedTensor] {
    model.parameters.map { parameter in
      let shard = shards.first { $0.parameter === parameter }
      let floats = unsafe UnsafeMutableBufferPointer(start: shard?.rows, count: shard?.count ?? 0)
      return unsafe SharedTensor(
        parameter.name, shape: parameter.shape, first: shard?.first ?? 0, floats)
    }
  }

  /// What this rank has of AdamW's moments.
  private var stateParts: [SharedTensor] {
    model.parameters.flatMap { parameter in
      let shard = shards.first { $0.parameter === parameter }
      return stateArrays.map { array in
        let bytes = unsafe shard?.optimizer.memory(of: array)
        let floats = unsafe bytes?.assumingMemoryBound(to: Float.self)
        return unsafe SharedTensor(
          stateName(array, parameter), shape: parameter.shape, first: shard?.first ?? 0,
          floats ?? UnsafeMutableBufferPointer(start: nil, count: 0))
      }
    }
  }
}
