// Numbers that a program's own schedules change between steps, and state in a program's own memory.

extension TableOptimizer {
  /// Steps by another rule of the same optimiser from now on: other rates, another weight decay.
  ///
  /// Rows that are behind still get the steps that they missed with the numbers of their time. Where betas or
  /// epsilon change, all rows are brought up to date first.
  ///
  /// - Throws: `unsupported` for another optimiser's rule or another way with untouched rows, `outOfMemory`;
  ///   the optimiser is then as it was.
  package func change(to rule: UpdateRule, using kernels: Kernels = .auto) throws(EmbedError) {
    guard rule.name == self.rule.name, rule.untouched == self.rule.untouched,
      rule.state.moments == self.rule.state.moments
    else {
      throw .unsupported(
        argument: "update rule",
        value: "\(rule.name), \(rule.untouched.rawValue), \(rule.state.moments.rawValue)",
        expected:
          "\(self.rule.name), \(self.rule.untouched.rawValue), \(self.rule.state.moments.rawValue)")
    }
    if let missedSteps, let ledger, let moments = rule.moments {
      if missedSteps.continues(moments) {
        ledger.withLock {
          missedSteps.take(rule.learningRate, weightDecay: moments.weightDecay)
        }
      } else {
        let fresh = try MissedSteps(rule.learningRate, moments)
        try synchronise(using: kernels)
        fresh.begin(at: stepCount)
        ledger.withLock { self.missedSteps = fresh }
      }
    }
    self.rule = rule
  }

  /// Takes the memory of table and state for that of step `stepCount`, no row being behind.
  ///
  /// - Throws: `invalidSize` for a negative or too large step count.
  package func restart(at stepCount: Int) throws(EmbedError) {
    guard stepCount >= 0, stepCount < Int(Int32.max) else {
      throw .invalidSize(argument: "step count", value: stepCount, expected: "0..<\(Int32.max)")
    }
    missedSteps?.begin(at: stepCount)
    self.stepCount = stepCount
    currentSteps = (stepCount, stepCount)
    unsafe state.parameterSteps.unsafeBuffer.update(repeating: Int32(stepCount))
    unsafe state.momentSteps.unsafeBuffer.update(repeating: Int32(stepCount))
  }

  /// Forgets what rows owe: nothing brings them up to date any more, as for memory that is gone.
  package func abandon() { currentSteps = (.max, .max) }

  /// Whether rows may be behind.
  package var mayBeBehind: Bool { catchesUp && currentSteps.everything < stepCount }

  /// Goes on with state in other memory of the same sizes.
  package func move(to memory: StateMemory) throws(EmbedError) {
    state = try TableState(rule, rows: slotCount, dim: dim, in: memory)
  }
}

/// Where someone else keeps an optimiser's state: an address for each of `UpdateRule.stateArrays`.
@safe package struct StateMemory {
  let addresses: [UnsafeMutableRawPointer]
  let owner: BorrowedMemory

  package init(_ addresses: [UnsafeMutableRawPointer], of owner: BorrowedMemory) {
    unsafe self.addresses = addresses
    self.owner = owner
  }
}
