// The memory of an optimiser's state: fresh arrays, or someone else's.
//
// S rows with state, D dim.

internal import CKernels

/// What an optimiser remembers; arrays that its rule does not keep are empty.
struct TableState: ~Copyable {
  var first: AlignedBuffer<Float>
  var second: AlignedBuffer<Float>
  /// In the place of both, moments in bfloat16.
  var roundedFirst: AlignedBuffer<BFloat16>
  var roundedSecond: AlignedBuffer<BFloat16>
  var rowState: AlignedBuffer<Float>
  var residual: AlignedBuffer<Int8>
  var parameterSteps: AlignedBuffer<Int32>
  var momentSteps: AlignedBuffer<Int32>

  /// - Parameter memory: Whose memory it is, taken as it is; nil for fresh state.
  init(_ rule: UpdateRule, rows: Int, dim: Int, in memory: StateMemory?) throws(EmbedError) {
    let layout = rule.state
    let elements = try elementCount("optimiser state", rows, dim)
    let (wide, narrow) = layout.moments == .float32 ? (elements, 0) : (0, elements)
    let owed = rule.untouched == .caughtUp
    var arrays = StateArrays(memory)
    let first: AlignedBuffer<Float> = try arrays.next(layout.first == nil ? 0 : wide)
    let roundedFirst: AlignedBuffer<BFloat16> = try arrays.next(layout.first == nil ? 0 : narrow)
    let second: AlignedBuffer<Float> = try arrays.next(layout.second == nil ? 0 : wide)
    let roundedSecond: AlignedBuffer<BFloat16> = try arrays.next(layout.second == nil ? 0 : narrow)
    let rowState: AlignedBuffer<Float> = try arrays.next(layout.row == nil ? 0 : rows)
    let residual: AlignedBuffer<Int8> = try arrays.next(owed ? elements : 0)
    let parameterSteps: AlignedBuffer<Int32> = try arrays.next(owed ? rows : 0)
    let momentSteps: AlignedBuffer<Int32> = try arrays.next(owed ? rows : 0)
    if layout.start != 0, memory == nil {
      unsafe first.unsafeBuffer.update(repeating: layout.start)
      unsafe rowState.unsafeBuffer.update(repeating: layout.start)
    }
    self.first = first
    self.second = second
    self.roundedFirst = roundedFirst
    self.roundedSecond = roundedSecond
    self.rowState = rowState
    self.residual = residual
    self.parameterSteps = parameterSteps
    self.momentSteps = momentSteps
  }

  /// Writes the addresses down for a step.
  func describe(to tile: inout ek_step_tile) {
    func address<Element>(_ array: borrowing AlignedBuffer<Element>) -> UnsafeMutablePointer<
      Element
    >? {
      array.count > 0 ? unsafe array.base : nil
    }
    func bits(_ array: borrowing AlignedBuffer<BFloat16>) -> UnsafeMutablePointer<UInt16>? {
      unsafe address(array).map {
        unsafe UnsafeMutableRawPointer($0).assumingMemoryBound(to: UInt16.self)
      }
    }
    unsafe tile.first = address(first)
    unsafe tile.second = address(second)
    unsafe tile.rounded_first = bits(roundedFirst)
    unsafe tile.rounded_second = bits(roundedSecond)
    unsafe tile.row_state = address(rowState)
    unsafe tile.residual = address(residual)
  }

  /// The bytes of the array that `layout` calls `name`.
  func memory(of name: String, _ layout: StateLayout) -> UnsafeMutableRawBufferPointer {
    func bytes<Element>(
      _ array: borrowing AlignedBuffer<Element>
    ) -> UnsafeMutableRawBufferPointer {
      unsafe UnsafeMutableRawBufferPointer(array.unsafeBuffer)
    }
    let isWide = layout.moments == .float32
    return switch name {
    case layout.first: unsafe isWide ? bytes(first) : bytes(roundedFirst)
    case layout.second: unsafe isWide ? bytes(second) : bytes(roundedSecond)
    case layout.row: unsafe bytes(rowState)
    case "residual": unsafe bytes(residual)
    case "parameter_steps": unsafe bytes(parameterSteps)
    default: unsafe bytes(momentSteps)
    }
  }
}

/// The arrays of a new optimiser's state, one after another: fresh ones, or in memory that is there.
private struct StateArrays {
  let memory: StateMemory?
  var taken = 0

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
    let moments: StateArray.Element = state.moments == .bfloat16 ? .bfloat16 : .float32
    var arrays: [StateArray] = []
    if let name = state.first { arrays.append(StateArray(name, moments, full)) }
    if let name = state.second { arrays.append(StateArray(name, moments, full)) }
    if let name = state.row { arrays.append(StateArray(name, .float32, [rows])) }
    if untouched == .caughtUp {
      arrays.append(StateArray("residual", .int8, full))
      arrays.append(StateArray("parameter_steps", .int32, [rows]))
      arrays.append(StateArray("moment_steps", .int32, [rows]))
    }
    return arrays
  }
}
