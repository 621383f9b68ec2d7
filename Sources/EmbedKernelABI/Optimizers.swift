// Optimisers behind handles, of tables and state that may be the caller's memory. Their numbers come with
// each step, as programs that schedule them do.
//
// R rows, D dim.

public import CEmbedKernel
internal import EmbedKernel

/// An optimiser with what its calls work in. One call at a time: the lock is held for as long as it runs.
final class OptimizerObject: Handled {
  static let kind: UInt32 = 2

  let table: TableObject
  let optimizer: TableOptimizer
  let lock = Guarded<Void>(())
  /// The numbers of the last step; NaN for those that the optimiser lacks.
  fileprivate(set) var numbers: RuleNumbers
  let hasForeignState: Bool
  fileprivate var groups: RowGroups
  fileprivate var rows: AlignedBuffer<Int32>

  init(
    _ optimizer: TableOptimizer, of table: TableObject, _ numbers: RuleNumbers,
    hasForeignState: Bool
  ) throws {
    groups = try RowGroups()
    rows = try AlignedBuffer(count: 0)
    self.optimizer = optimizer
    self.table = table
    self.numbers = numbers
    self.hasForeignState = hasForeignState
  }
}

/// The numbers of a rule as C gives them: NaN for the usual one.
struct RuleNumbers: Equatable {
  var rate: Double
  var weightDecay = Double.nan
  var beta1 = Double.nan
  var beta2 = Double.nan
  var epsilon = Double.nan
  var initialSum = Double.nan
  var rateDecay = Double.nan

  /// These, and where one is NaN that of `other`.
  func completed(by other: RuleNumbers) -> RuleNumbers {
    func pick(_ a: Double, _ b: Double) -> Double { a.isNaN ? b : a }
    return RuleNumbers(
      rate: pick(rate, other.rate), weightDecay: pick(weightDecay, other.weightDecay),
      beta1: pick(beta1, other.beta1), beta2: pick(beta2, other.beta2),
      epsilon: pick(epsilon, other.epsilon), initialSum: pick(initialSum, other.initialSum),
      rateDecay: pick(rateDecay, other.rateDecay))
  }

  /// Whether both say the same, two that say nothing included.
  func agrees(with other: RuleNumbers) -> Bool {
    func same(_ a: Double, _ b: Double) -> Bool { a == b || a.isNaN && b.isNaN }
    return same(rate, other.rate) && same(weightDecay, other.weightDecay)
      && same(beta1, other.beta1) && same(beta2, other.beta2) && same(epsilon, other.epsilon)
  }

  func rule(_ name: String, _ untouched: UntouchedRows?) throws -> UpdateRule {
    func given(_ value: Double) -> Double? { value.isNaN ? nil : value }
    return try .named(
      name, learningRate: .constant(rate),
      numbers: UpdateNumbers(
        weightDecay: given(weightDecay), beta1: given(beta1), beta2: given(beta2),
        epsilon: given(epsilon), initialSum: given(initialSum), rateDecay: given(rateDecay)),
      untouched: untouched)
  }
}

/// The rule that options ask for, and its numbers.
func rule(
  _ options: ek_optimizer_options
) throws -> (rule: UpdateRule, numbers: RuleNumbers) {
  let numbers = unsafe RuleNumbers(
    rate: options.learning_rate, weightDecay: options.weight_decay, beta1: options.beta1,
    beta2: options.beta2, epsilon: options.epsilon, initialSum: options.initial_sum,
    rateDecay: options.rate_decay)
  guard !numbers.rate.isNaN else {
    throw EmbedError.invalidValue(
      argument: "learning rate", value: .nan, expected: "a finite number, 0 or more")
  }
  let untouched: UntouchedRows? = try unsafe choice(
    options.untouched, nil, .stepped, .left, .caughtUp, name: "untouched")
  let name = try unsafe text(options.name, "name")
  let moments = try elementType(unsafe options.moment_dtype, "moment_dtype")
  return (try numbers.rule(name, untouched).storingMoments(as: moments), numbers)
}

/// The caller's memory for the arrays of a state.
private func stateMemory(
  _ addresses: UnsafePointer<UnsafeMutableRawPointer?>?, _ count: Int64, _ arrays: [StateArray]
) throws -> StateMemory {
  guard count == arrays.count else {
    throw EmbedError.wrongElementCount(
      argument: "state", expected: arrays.count, shape: [arrays.count], actual: Int(count))
  }
  let given = try unsafe readable(addresses, arrays.count, "state")
  var found: [UnsafeMutableRawPointer] = unsafe []
  for (i, array) in arrays.enumerated() {
    guard let address = unsafe given[i],
      UInt(bitPattern: address) & UInt(array.element.size - 1) == 0
    else { throw CallError.pointer("state \(array.name)", fault: "NULL or misaligned") }
    unsafe found.append(address)
  }
  return unsafe StateMemory(found, of: BorrowedMemory())
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_optimizer_create(
  _ table: OpaquePointer?, _ options: UnsafePointer<ek_optimizer_options>?,
  _ optimizer: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: optimizer, "optimizer")
    let table: TableObject = try unsafe object(table, "table")
    let given = try unsafe required(options, "options")
    let (rule, numbers) = try unsafe rule(given)
    let frozen = try unsafe optionalID(given.frozen_row, "frozen_row")
    let isForeign = unsafe given.state != nil
    let memory =
      isForeign
      ? try unsafe stateMemory(
        given.state, given.state_count, rule.stateArrays(rows: table.rows, dim: table.dim)) : nil
    func make<Element: SixteenBitElement>(
      _ rounded: EmbeddingTable<Element>
    ) throws -> TableOptimizer {
      let updates = try unsafe updates(of: rounded, given)
      guard let memory else {
        return try TableOptimizer(rule, for: rounded, updates: updates, frozenRow: frozen)
      }
      return try TableOptimizer(
        rule, for: rounded, updates: updates, frozenRow: frozen, state: memory)
    }
    let made: TableOptimizer
    switch table.table {
    case .float(let floats):
      if let memory {
        made = try TableOptimizer(rule, for: floats, frozenRow: frozen, state: memory)
      } else {
        made = try TableOptimizer(rule, for: floats, frozenRow: frozen)
      }
    case .bfloat16(let rounded): made = try make(rounded)
    case .half(let rounded): made = try make(rounded)
    }
    let steps = unsafe given.step_count
    if isForeign || steps != 0 { try made.restart(at: Int(steps)) }
    let object = try OptimizerObject(made, of: table, numbers, hasForeignState: isForeign)
    unsafe place.pointee = try makeHandle(object)
  }
}

/// How new values get into a table of 16-bit elements.
private func updates<Element: SixteenBitElement>(
  of table: EmbeddingTable<Element>, _ options: ek_optimizer_options
) throws -> SixteenBitUpdates {
  switch Int(unsafe options.updates) {
  case EK_UPDATES_STOCHASTIC: return unsafe .stochastic(seed: options.seed)
  case EK_UPDATES_MASTERS:
    let masters: TableObject? = try unsafe optionalObject(options.masters, "masters")
    return .masters(try masters?.floats("masters") ?? table.widened())
  case let other:
    throw CallError.option("updates", value: other, expected: "one of EK_UPDATES_...")
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_optimizer_destroy(_ optimizer: OpaquePointer?) {
  unsafe destroy(optimizer, OptimizerObject.self)
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_optimizer_abandon(_ optimizer: OpaquePointer?) {
  guard let found: OptimizerObject = try? unsafe object(optimizer, "optimizer") else { return }
  found.lock.withLock { _ in found.optimizer.abandon() }
  unsafe destroy(optimizer, OptimizerObject.self)
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_optimizer_move(
  _ optimizer: OpaquePointer?, _ data: UnsafeMutableRawPointer?,
  _ state: UnsafePointer<UnsafeMutableRawPointer?>?, _ stateCount: Int64
) -> Int32 {
  attempt {
    let found: OptimizerObject = try unsafe object(optimizer, "optimizer")
    try found.lock.withLock { (_) throws in
      let (table, optimizer) = (found.table, found.optimizer)
      if unsafe data != nil, !table.isBorrowed {
        throw EmbedError.unsupported(
          argument: "table", value: "memory of this library", expected: "a borrowed table")
      }
      if unsafe state != nil, !found.hasForeignState {
        throw EmbedError.unsupported(
          argument: "state", value: "memory of this library",
          expected: "state that the caller brought")
      }
      let memory =
        unsafe state == nil ? nil : try unsafe stateMemory(state, stateCount, optimizer.stateArrays)
      if let data = unsafe data {
        try unsafe checkAddress(
          UnsafeRawPointer(data), 1, mask: UInt(table.type.byteCount - 1), "table")
        switch table.table {
        case .float(let table): unsafe table.move(to: data)
        case .half(let table): unsafe table.move(to: data)
        case .bfloat16(let table): unsafe table.move(to: data)
        }
      }
      if let memory { try optimizer.move(to: memory) }
    }
  }
}

// MARK: Steps

/// Does a step with the numbers of its options.
func step(
  _ optimizer: OpaquePointer?, _ options: UnsafePointer<ek_step_options>?,
  _ body: (OptimizerObject, Float, Kernels) throws -> Void
) -> Int32 {
  attempt {
    let found: OptimizerObject = try unsafe object(optimizer, "optimizer")
    var (scale, threads): (Float, Int32) = (1, 0)
    var numbers: RuleNumbers?
    if let options = unsafe options {
      let given = try unsafe required(options, "options")
      (scale, threads) = (given.gradient_scale, given.threads)
      numbers = RuleNumbers(
        rate: given.learning_rate, weightDecay: given.weight_decay, beta1: given.beta1,
        beta2: given.beta2, epsilon: given.epsilon)
    }
    let kernels = try kernels(0, threads)
    guard scale.isFinite else {
      throw EmbedError.invalidValue(
        argument: "gradient scale", value: Double(scale), expected: "a finite number")
    }
    try found.lock.withLock { _ in
      if let given = numbers?.completed(by: found.numbers), !given.agrees(with: found.numbers) {
        let rule = found.optimizer.rule
        let changed = try given.rule(rule.name, rule.untouched)
        try found.optimizer.change(
          to: changed.storingMoments(as: rule.state.moments), using: kernels)
        found.numbers = given
      }
      try body(found, scale, kernels)
    }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_optimizer_step_rows(
  _ optimizer: OpaquePointer?, _ rows: UnsafeRawPointer?, _ rowType: Int32, _ count: Int64,
  _ values: UnsafePointer<Float>?, _ options: UnsafePointer<ek_step_options>?
) -> Int32 {
  unsafe step(optimizer, options) { found, scale, kernels in
    let optimizer = found.optimizer
    let count = try EmbedKernelABI.count(count, "count")
    let ids = try unsafe tokenIDs(rows, rowType, count, "rows")
    let values = try unsafe readable(values, product("values", count, optimizer.dim), "values")
    try checkRows(ids, below: optimizer.rows)
    guard ids.areRising else {
      return try unsafe found.step(values, ids, scale, kernels)
    }
    let listed: UnsafeMutableBufferPointer<Int32>
    if ids.isWide {
      if found.rows.count < count { found.rows = try AlignedBuffer(count: count) }
      unsafe listed = UnsafeMutableBufferPointer(rebasing: found.rows.unsafeBuffer[..<count])
      for k in 0..<count { unsafe listed[k] = Int32(truncatingIfNeeded: ids[k]) }
    } else {
      unsafe listed = UnsafeMutableBufferPointer(
        mutating: UnsafeBufferPointer(
          start: rows?.assumingMemoryBound(to: Int32.self), count: count))
    }
    let gradient = try unsafe RowSparseGradient(
      rows: optimizer.rows, dim: optimizer.dim, count: count, borrowing: listed,
      UnsafeMutableBufferPointer(mutating: values), of: BorrowedMemory())
    try optimizer.step(gradient, scale: scale, using: kernels)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_optimizer_step_dense(
  _ optimizer: OpaquePointer?, _ gradient: UnsafePointer<Float>?,
  _ options: UnsafePointer<ek_step_options>?
) -> Int32 {
  unsafe step(optimizer, options) { found, scale, kernels in
    let optimizer = found.optimizer
    try unsafe optimizer.step(
      dense: readable(gradient, optimizer.rows * optimizer.dim, "gradient"), scale: scale,
      using: kernels)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_optimizer_step_output(
  _ optimizer: OpaquePointer?, _ outputGradient: UnsafePointer<Float>?, _ ids: UnsafeRawPointer?,
  _ idType: Int32, _ count: Int64, _ options: UnsafePointer<ek_step_options>?
) -> Int32 {
  unsafe step(optimizer, options) { found, scale, kernels in
    let count = try EmbedKernelABI.count(count, "count")
    let ids = try unsafe tokenIDs(ids, idType, count, "ids")
    let gradient = try unsafe readable(
      outputGradient, product("output gradient", count, found.optimizer.dim), "output_gradient")
    try checkRows(ids, below: found.optimizer.rows)
    try unsafe found.step(gradient, ids, scale, kernels)
  }
}

extension OptimizerObject {
  /// Steps by vectors of which several may be of one row.
  fileprivate func step(
    _ gradient: UnsafeBufferPointer<Float>, _ ids: TokenIDs, _ scale: Float, _ kernels: Kernels
  ) throws {
    try groups.group(
      ids, context: max(1, ids.count), vocabulary: optimizer.rows, paddingID: nil,
      unknownIDs: .error, threads: kernels.threads)
    try unsafe optimizer.step(
      outputGradient: gradient, groups: groups, scale: scale, using: kernels)
  }
}

extension TokenIDs {
  /// Whether each is greater than the one before.
  fileprivate var areRising: Bool {
    for i in 1..<max(1, count) where self[i] <= self[i - 1] { return false }
    return true
  }
}

// MARK: Rows that are behind

/// Documented in embedkernel.h.
@c @implementation
public func ek_optimizer_catch_up(
  _ optimizer: OpaquePointer?, _ ids: UnsafeRawPointer?, _ idType: Int32, _ count: Int64
) -> Int32 {
  attempt {
    let found: OptimizerObject = try unsafe object(optimizer, "optimizer")
    let kernels = try kernels(0, 0)
    guard unsafe ids != nil else {
      return try found.lock.withLock { _ in try found.optimizer.synchronise(using: kernels) }
    }
    let list = try unsafe tokenIDs(ids, idType, EmbedKernelABI.count(count, "count"), "ids")
    try found.lock.withLock { _ in try found.optimizer.prepare(list, kernels) }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_optimizer_get(
  _ optimizer: OpaquePointer?, _ steps: UnsafeMutablePointer<Int64>?,
  _ isBehind: UnsafeMutablePointer<Int32>?, _ stateCount: UnsafeMutablePointer<Int64>?,
  _ memoryBytes: UnsafeMutablePointer<Int64>?
) -> Int32 {
  attempt {
    let found: OptimizerObject = try unsafe object(optimizer, "optimizer")
    try found.lock.withLock { _ in
      let optimizer = found.optimizer
      if unsafe steps != nil {
        try unsafe place(of: steps, "step_count").pointee = Int64(optimizer.stepCount)
      }
      if unsafe isBehind != nil {
        try unsafe place(of: isBehind, "is_behind").pointee = optimizer.mayBeBehind ? 1 : 0
      }
      if unsafe stateCount != nil {
        try unsafe place(of: stateCount, "state_count").pointee = Int64(
          optimizer.stateArrays.count)
      }
      if unsafe memoryBytes != nil {
        try unsafe place(of: memoryBytes, "memory_bytes").pointee = Int64(optimizer.memoryBytes)
      }
    }
  }
}
