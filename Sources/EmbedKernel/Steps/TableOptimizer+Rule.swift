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
    guard rule.name == self.rule.name, rule.untouched == self.rule.untouched else {
      throw .unsupported(
        argument: "update rule", value: "\(rule.name), \(rule.untouched.rawValue)",
        expected: "\(self.rule.name), \(self.rule.untouched.rawValue)")
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
    unsafe parameterSteps.unsafeBuffer.update(repeating: Int32(stepCount))
    unsafe momentSteps.unsafeBuffer.update(repeating: Int32(stepCount))
  }

  /// Forgets what rows owe: nothing brings them up to date any more, as for memory that is gone.
  package func abandon() { currentSteps = (.max, .max) }

  /// Whether rows may be behind.
  package var mayBeBehind: Bool { catchesUp && currentSteps.everything < stepCount }

  /// Goes on with state in other memory of the same sizes.
  package func move(to memory: StateMemory) throws(EmbedError) {
    var arrays = StateArrays(memory)
    first = try arrays.next(first.count)
    second = try arrays.next(second.count)
    rowState = try arrays.next(rowState.count)
    residual = try arrays.next(residual.count)
    parameterSteps = try arrays.next(parameterSteps.count)
    momentSteps = try arrays.next(momentSteps.count)
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

/// The arrays of a new optimiser's state, one after another: fresh ones, or in memory that is there.
struct StateArrays {
  private let memory: StateMemory?
  private var taken = 0

  init(_ memory: StateMemory?) { self.memory = memory }

  mutating func next<Element>(_ count: Int) throws(EmbedError) -> AlignedBuffer<Element> {
    guard count > 0, let memory else { return try AlignedBuffer(count: count) }
    guard unsafe taken < memory.addresses.count else {
      throw .wrongElementCount(
        argument: "arrays of state", expected: taken + 1, shape: [taken + 1], actual: taken)
    }
    let address = unsafe memory.addresses[taken]
    taken += 1
    return unsafe AlignedBuffer(
      borrowing: UnsafeMutableBufferPointer(
        start: address.bindMemory(to: Element.self, capacity: count), count: count),
      of: memory.owner)
  }
}

extension UpdateRule {
  /// The arrays of the state for so many rows with state.
  package func stateArrays(rows: Int, dim: Int) -> [StateArray] {
    let full = [rows, dim]
    var arrays: [StateArray] = []
    if let name = state.first { arrays.append(StateArray(name, .float32, full)) }
    if let name = state.second { arrays.append(StateArray(name, .float32, full)) }
    if let name = state.row { arrays.append(StateArray(name, .float32, [rows])) }
    if untouched == .caughtUp {
      arrays.append(StateArray("residual", .int8, full))
      arrays.append(StateArray("parameter_steps", .int32, [rows]))
      arrays.append(StateArray("moment_steps", .int32, [rows]))
    }
    return arrays
  }
}
