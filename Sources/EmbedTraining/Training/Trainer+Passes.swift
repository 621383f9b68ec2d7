// The passes of a step: which sequences each takes, and what loss and gradient come of them.

internal import EmbedDistributed
internal import EmbedKernel

extension Trainer {
  /// The sequences of a group; without groups, of the batch.
  private func sequences(of group: Int) -> Range<Int> {
    Partition.share(options.batch, options.gradientGroups ?? 1, group)
  }

  /// The sequences of this rank's groups.
  var ownSequences: Range<Int> {
    let groups = Partition.share(options.gradientGroups ?? 1, ranks.size, ranks.rank)
    guard !groups.isEmpty else { return options.batch..<options.batch }
    return sequences(of: groups.lowerBound)
      .lowerBound..<sequences(of: groups.upperBound - 1).upperBound
  }

  private func passCount(of sequences: Range<Int>) -> Int {
    (sequences.count + options.microBatch - 1) / options.microBatch
  }

  /// The sequences of a pass of some.
  private func pass(_ number: Int, of sequences: Range<Int>) -> Range<Int> {
    let start = sequences.lowerBound + number * options.microBatch
    return start..<min(sequences.upperBound, start + options.microBatch)
  }

  /// The ids or targets of some sequences of the batch, valid as long as the trainer is.
  @unsafe @_lifetime(immortal)
  private func tokens(
    _ all: UnsafeMutableBufferPointer<Int32>, _ sequences: Range<Int>
  ) -> Span<Int32> {
    let range = sequences.lowerBound * context..<sequences.upperBound * context
    return unsafe _overrideLifetime(
      Span(_unsafeElements: UnsafeBufferPointer(all).extracting(range)), copying: ())
  }

  /// The part of the batch's mean loss that some of its sequences are; leaves that part of its gradient.
  func accumulate(_ sequences: Range<Int>) throws(EmbedError) -> Double {
    var loss = 0.0
    for number in 0..<passCount(of: sequences) {
      let pass = pass(number, of: sequences)
      let weight = Double(pass.count) / Double(options.batch)
      loss +=
        weight
        * (try unsafe model.gradients(
          tokens(ids.unsafeBuffer, pass), targets: tokens(targets.unsafeBuffer, pass),
          batch: pass.count, context: context,
          weight: Float(weight), number == 0 ? .overwrite : .accumulate, in: workspace))
    }
    return loss
  }

  /// The loss and the gradient's norm of a batch that is not cut.
  func passBatch() throws(EmbedError) -> (loss: Double, norm: Double) {
    let loss = try accumulate(0..<options.batch)
    var norm = GradientNorm()
    for parameter in model.parameters {
      norm.add(parameter.gradient.values, threads: workspace.threads)
    }
    return (loss, norm.value)
  }

  /// The loss of a batch in groups, and the norm of its gradient.
  func passGroups(
    _ grouped: GroupedGradient
  ) throws(TrainingError) -> (loss: Double, norm: Double) {
    var fault: EmbedError?
    do throws(EmbedError) {
      grouped.removeAll()
      for group in grouped.groups {
        grouped.losses[group] = try accumulate(sequences(of: group))
        grouped.add(group, stepped.all)
      }
    } catch {
      fault = error
    }
    return try TrainingError.wrappingRanks { () throws(DistributedError) in
      try grouped.meet(fault, step: stepCount, batch: ranks.size == 1 ? 0 : batchCheckSum)
      try grouped.shareLosses()
      try grouped.finish(nil)
      return (grouped.loss, try grouped.norm())
    }
  }

  /// By which ranks know that they step on one batch.
  private var batchCheckSum: UInt32 {
    unsafe CheckSum.of(
      [ids.unsafeBuffer, targets.unsafeBuffer].map {
        unsafe CheckSum.of(Span(_unsafeElements: UnsafeBufferPointer($0)))
      })
  }

  /// The same with a head that is divided over ranks: all hidden states, then the head, then all gradients. Where this
  /// rank has several passes, all but one make their forward pass twice.
  func passGroups(
    _ grouped: GroupedGradient, _ head: DividedHead
  ) throws(TrainingError) -> (loss: Double, norm: Double) {
    var fault: EmbedError?
    do throws(EmbedError) { try makeHidden(grouped.groups, head) } catch { fault = error }
    return try TrainingError.wrappingRanks { () throws(DistributedError) in
      try grouped.meet(fault, step: stepCount, batch: ranks.size == 1 ? 0 : batchCheckSum)
      let loss = try head.run(unsafe tokens(targets.unsafeBuffer, ownSequences))
      do throws(EmbedError) {
        try addGradients(grouped, head)
      } catch {
        fault = error
      }
      if ranks.size > 1 {
        try ranks.share(fault, "gradients of groups")
      } else if let fault {
        throw .invalid(fault)
      }
      try grouped.finish(head)
      return (loss, try grouped.norm())
    }
  }

  /// The forward passes of this rank's groups, from the last to the first, whose activations are then at hand.
  private func makeHidden(_ groups: Range<Int>, _ head: DividedHead) throws(EmbedError) {
    for group in groups.reversed() {
      let sequences = sequences(of: group)
      for number in (0..<passCount(of: sequences)).reversed() {
        let pass = pass(number, of: sequences)
        try unsafe model.forward(
          tokens(ids.unsafeBuffer, pass), targets: tokens(targets.unsafeBuffer, pass),
          batch: pass.count, context: context,
          into: head.memory.hidden.unsafeBuffer.baseAddress.unsafelyUnwrapped + place(pass),
          in: workspace)
      }
    }
  }

  private func addGradients(
    _ grouped: GroupedGradient, _ head: DividedHead
  ) throws(EmbedError) {
    grouped.removeAll()
    var activations = GPT.Activations.kept
    for group in grouped.groups {
      let sequences = sequences(of: group)
      for number in 0..<passCount(of: sequences) {
        let pass = pass(number, of: sequences)
        try unsafe model.backward(
          tokens(ids.unsafeBuffer, pass), batch: pass.count, context: context,
          from: UnsafePointer(
            head.memory.hiddenGradient.unsafeBuffer.baseAddress.unsafelyUnwrapped + place(pass)),
          activations, number == 0 ? .overwrite : .accumulate, in: workspace)
        activations = .lost
      }
      grouped.add(group, stepped.all)
    }
  }

  /// Where a pass's hidden states are among this rank's.
  private func place(_ pass: Range<Int>) -> Int {
    (pass.lowerBound - ownSequences.lowerBound) * context * model.configuration.dim
  }
}
