// An optimiser's state as plain named arrays, for files.

/// An array of an optimiser's state.
public struct StateArray: Hashable, Sendable {
  /// Its name, such as `exp_avg`.
  public let name: String

  /// The type of its elements.
  public let element: Element

  /// `[S, dim]` or `[S]`, for S trainable rows in rising order.
  public let shape: [Int]

  /// An element type of state.
  public enum Element: String, CaseIterable, Sendable {
    case float32
    case int32
    case int8
    case bfloat16

    /// The bytes of an element.
    public var size: Int { self == .int8 ? 1 : self == .bfloat16 ? 2 : 4 }
  }

  /// The bytes of the whole array.
  public var byteCount: Int { shape.reduce(element.size, *) }
}

extension TableOptimizer {
  /// The arrays of the state; with `stepCount` and the table's values (the master rows', where there are
  /// any) they are all that a run needs to go on bit for bit.
  public var stateArrays: [StateArray] { rule.stateArrays(rows: slotCount, dim: dim) }

  /// The row of state that row `row` of the table has, or nil for a frozen row.
  package func stateRow(of row: Int) -> Int? {
    let slot = slots.count > 0 ? Int(slots[row]) : row
    return slot >= 0 ? slot : nil
  }

  /// Gives `body` each array of the state, its bytes in the machine's order.
  ///
  /// Brings all rows and their state up to date first, so that it does not matter whether the table's
  /// values are read before or after.
  public func forEachStateArray<Failure: Error>(
    _ body: (StateArray, RawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    ledger?.bringUp(.all, .auto, .everything)
    for array in stateArrays {
      let memory = unsafe memory(of: array)
      try body(array, unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(memory)))
    }
  }

  /// Takes a saved state: `fill` is asked to write the bytes of each array.
  ///
  /// Read the table's values before, not after: rows that the state says are behind are brought up to
  /// date where the table is next read or written.
  /// Where `fill` throws, or a value cannot be, the optimiser is as before. Allocates the state a
  /// second time for as long as it reads.
  ///
  /// - Parameters:
  ///   - stepCount: The number of steps that were taken.
  ///   - fill: Writes the bytes of an array, as `forEachStateArray` gave them.
  /// - Throws: `invalidSize` for a negative or too large step count, or a row that is further than it;
  ///   `outOfMemory`; what `fill` throws.
  public func restoreState(
    stepCount: Int, _ fill: (StateArray, inout MutableRawSpan) throws -> Void
  ) throws {
    guard stepCount >= 0, stepCount < Int(Int32.max) else {
      throw EmbedError.invalidSize(
        argument: "step count", value: stepCount, expected: "0..<\(Int32.max)")
    }
    let copy = try TableOptimizer(rule, target, trainable, frozenRow, opens: false)
    for array in copy.stateArrays {
      var bytes = unsafe MutableRawSpan(_unsafeBytes: copy.memory(of: array))
      try fill(array, &bytes)
    }
    try copy.checkSteps(stepCount)
    missedSteps?.restart(at: stepCount)
    self.stepCount = stepCount
    currentSteps = (-1, -1)
    swap(&state, &copy.state)
  }

  /// The steps of rows must lie where the history reaches, moments' not after parameters'.
  private func checkSteps(_ stepCount: Int) throws(EmbedError) {
    guard let missedSteps else { return }
    let oldest = stepCount == 0 ? 0 : (stepCount - 1) / missedSteps.horizon * missedSteps.horizon
    for slot in 0..<slotCount {
      let (parameters, moments) = (Int(state.parameterSteps[slot]), Int(state.momentSteps[slot]))
      guard moments >= oldest, moments <= parameters, parameters <= stepCount else {
        throw .invalidSize(
          argument: "saved steps of state row \(slot)", value: moments,
          expected: "\(oldest)...\(stepCount), not after its parameters' (\(parameters))")
      }
    }
  }

  package func memory(of array: StateArray) -> UnsafeMutableRawBufferPointer {
    unsafe state.memory(of: array.name, rule.state)
  }
}

extension StateArray {
  init(_ name: String, _ element: Element, _ shape: [Int]) {
    self.name = name
    self.element = element
    self.shape = shape
  }
}
