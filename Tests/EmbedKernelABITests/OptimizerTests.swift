// Optimisers over the caller's memory: state of his, rates that change, rows that are caught up, memory that
// moves.

import CEmbedKernel
import EmbedKernel
import EmbedKernelABI
import Testing

private let float = Int32(EK_DTYPE_FLOAT32)
private let wide = Int32(EK_DTYPE_INT64)

/// A table and state of the test's own memory, and an optimiser of it.
@safe final class Steps {
  let (rows, dim) = (12, 5)
  let table: UnsafeMutablePointer<Float>
  var state: [UnsafeMutableRawPointer?] = unsafe []
  var handle: OpaquePointer?
  var optimizer: OpaquePointer?

  init(_ name: String, _ untouched: Int, hasOwnState: Bool = true) {
    unsafe table = .allocate(capacity: 60)
    for (i, value) in numbers(60, seed: 8).enumerated() { unsafe table[i] = value }
    expectOK(unsafe ek_table_borrow(table, 12, 5, float, nil, nil, &handle))
    unsafe withOptimizerOptions(name, rate: 0.1) { options in
      unsafe options.untouched = Int32(untouched)
      var count: Int64 = 0
      var arrays = unsafe [ek_state_array](repeating: ek_state_array(), count: 8)
      expectOK(unsafe ek_optimizer_state_layout(&options, 12, 5, &arrays, 8, &count))
      for i in 0..<Int(count) {
        let array = unsafe arrays[i]
        let memory = unsafe UnsafeMutableRawPointer.allocate(
          byteCount: Int(array.bytes), alignment: 4)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: Int(array.bytes))
        unsafe state.append(memory)
      }
      unsafe state.withUnsafeBufferPointer { memory in
        if hasOwnState {
          unsafe options.state = memory.baseAddress
          unsafe options.state_count = count
        }
        expectOK(unsafe ek_optimizer_create(handle, &options, &optimizer))
      }
    }
  }

  deinit {
    unsafe ek_optimizer_destroy(optimizer)
    unsafe ek_table_destroy(handle)
    unsafe table.deallocate()
    for i in 0..<(unsafe state.count) { unsafe state[i]?.deallocate() }
  }

  var values: [Float] { unsafe Array(UnsafeBufferPointer(start: table, count: 60)) }

  func options(rate: Double) -> ek_step_options {
    ek_step_options(
      struct_size: MemoryLayout<ek_step_options>.stride, learning_rate: rate, weight_decay: .nan,
      beta1: .nan, beta2: .nan, epsilon: .nan, gradient_scale: 1, threads: 0)
  }

  func step(_ ids: [Int64], _ values: [Float], rate: Double) {
    var options = options(rate: rate)
    expectOK(
      unsafe ek_optimizer_step_rows(optimizer, ids, wide, Int64(ids.count), values, &options))
  }

  func dense(_ gradient: [Float], rate: Double) {
    var options = options(rate: rate)
    expectOK(unsafe ek_optimizer_step_dense(optimizer, gradient, &options))
  }
}

@Suite struct OptimizerTests {
  /// Rates that no schedule of the library has.
  private let rates = [0.1, 0.03, 0.2, 0.001, 0.05, 0.05, 0.15, 0.02, 0.07]

  @Test func caughtUpRowsAreThoseOfDenseSteps() {
    let lazy = Steps("adamw", EK_UNTOUCHED_CAUGHT_UP)
    let dense = Steps("adamw", EK_UNTOUCHED_STEPPED, hasOwnState: false)
    for (k, rate) in rates.enumerated() {
      let ids = someIDs(3, below: 12, seed: UInt64(k))
      let values = numbers(15, seed: UInt64(100 + k))
      var gradient = [Float](repeating: 0, count: 60)
      for (n, id) in ids.enumerated() {
        for i in 0..<5 { gradient[Int(id) * 5 + i] += values[n * 5 + i] }
      }
      lazy.step(ids, values, rate: rate)
      dense.dense(gradient, rate: rate)
    }
    var isBehind: Int32 = 0
    var steps: Int64 = 0
    expectOK(unsafe ek_optimizer_get(lazy.optimizer, &steps, &isBehind, nil, nil))
    #expect((steps, isBehind) == (Int64(rates.count), 1))
    #expect(lazy.values != dense.values)
    expectOK(unsafe ek_table_synchronise(lazy.handle, nil, 0, 0))
    for (a, b) in zip(lazy.values, dense.values) { #expect(abs(a - b) < 1e-6) }
    expectOK(unsafe ek_optimizer_catch_up(lazy.optimizer, nil, 0, 0))
    expectOK(unsafe ek_optimizer_get(lazy.optimizer, nil, &isBehind, nil, nil))
    #expect(isBehind == 0)
  }

  @Test func betasMayChange() {
    let lazy = Steps("adamw", EK_UNTOUCHED_CAUGHT_UP)
    let dense = Steps("adamw", EK_UNTOUCHED_STEPPED)
    for k in 0..<6 {
      let id = Int64(k % 3)
      let values = numbers(5, seed: UInt64(k))
      var gradient = [Float](repeating: 0, count: 60)
      for i in 0..<5 { gradient[Int(id) * 5 + i] = values[i] }
      var options = lazy.options(rate: 0.1)
      options.beta1 = k < 3 ? 0.9 : 0.8
      options.weight_decay = 0.01 * Double(k)
      expectOK(unsafe ek_optimizer_step_rows(lazy.optimizer, [id], wide, 1, values, &options))
      expectOK(unsafe ek_optimizer_step_dense(dense.optimizer, gradient, &options))
    }
    expectOK(unsafe ek_optimizer_catch_up(lazy.optimizer, nil, 0, 0))
    for (a, b) in zip(lazy.values, dense.values) { #expect(abs(a - b) < 1e-6) }
  }

  @Test(arguments: ["sgd", "momentum", "nesterov", "adagrad", "row-wise-adagrad", "adam", "lamb"])
  func listedRowsStepInAnyForm(name: String) {
    let (rising, mixed) = (Steps(name, EK_UNTOUCHED_LEFT), Steps(name, EK_UNTOUCHED_LEFT))
    for k in 0..<3 {
      let values = numbers(20, seed: UInt64(k))
      var sums = Array(values[..<15])
      for i in 0..<5 { sums[5 + i] += values[15 + i] }
      rising.step([1, 4, 9], sums, rate: 0.1)
      var narrow = mixed.options(rate: 0.1)
      let shuffled = values[10..<15] + values[5..<10] + values[..<5] + values[15...]
      expectOK(
        unsafe ek_optimizer_step_rows(
          mixed.optimizer, [9, 4, 1, 4] as [Int32], Int32(EK_DTYPE_INT32), 4, Array(shuffled),
          &narrow))
    }
    #expect(rising.values == mixed.values)
    #expect(rising.values[..<5] == Steps(name, EK_UNTOUCHED_LEFT).values[..<5])
    #expect(rising.values != Steps(name, EK_UNTOUCHED_LEFT).values)
  }

  @Test func memoryMayMove() {
    let (stays, moves) = (
      Steps("adamw", EK_UNTOUCHED_CAUGHT_UP), Steps("adamw", EK_UNTOUCHED_CAUGHT_UP)
    )
    let other = Steps("adamw", EK_UNTOUCHED_CAUGHT_UP)
    for k in 0..<4 {
      let values = numbers(5, seed: UInt64(k))
      stays.step([Int64(k)], values, rate: 0.1)
      moves.step([Int64(k)], values, rate: 0.1)
      guard k == 1 else { continue }
      unsafe other.table.update(from: moves.table, count: 60)
      for (i, bytes) in [240, 240, 60, 48, 48].enumerated() {
        unsafe other.state[i]?.copyMemory(from: moves.state[i].unsafelyUnwrapped, byteCount: bytes)
      }
      expectOK(unsafe ek_optimizer_move(moves.optimizer, other.table, other.state, 5))
    }
    expectOK(unsafe ek_optimizer_catch_up(stays.optimizer, nil, 0, 0))
    expectOK(unsafe ek_optimizer_catch_up(moves.optimizer, nil, 0, 0))
    #expect(other.values == stays.values)
    #expect(moves.values != stays.values)
    unsafe ek_optimizer_abandon(moves.optimizer)
    unsafe moves.optimizer = nil
    expectFault(
      EK_ERROR_WRONG_ELEMENT_COUNT,
      unsafe ek_optimizer_move(stays.optimizer, nil, other.state, 4))
  }

  @Test func badStepsChangeNothing() {
    let steps = Steps("adamw", EK_UNTOUCHED_CAUGHT_UP)
    let before = steps.values
    var options = steps.options(rate: 0.1)
    let told = expectFault(
      EK_ERROR_TOKEN_OUT_OF_RANGE,
      unsafe ek_optimizer_step_rows(
        steps.optimizer, [3, 12] as [Int64], wide, 2, numbers(10, seed: 1), &options))
    #expect((told.position, told.value, told.bound) == (1, 12, 12))
    options.learning_rate = 200
    expectFault(
      EK_ERROR_INVALID_VALUE,
      unsafe ek_optimizer_step_rows(
        steps.optimizer, [3] as [Int64], wide, 1, numbers(5, seed: 1), &options))
    options.learning_rate = -1
    expectFault(
      EK_ERROR_INVALID_VALUE,
      unsafe ek_optimizer_step_dense(steps.optimizer, numbers(60, seed: 1), &options))
    expectFault(
      EK_ERROR_INVALID_POINTER, unsafe ek_optimizer_step_dense(steps.optimizer, nil, nil))
    expectFault(
      EK_ERROR_INVALID_HANDLE, unsafe ek_optimizer_step_dense(steps.handle, before, nil))
    var count: Int64 = 9
    expectOK(unsafe ek_optimizer_get(steps.optimizer, &count, nil, nil, nil))
    #expect(count == 0)
    #expect(steps.values == before)
  }

  @Test func memoryIsGivenBackOnce() {
    let calls = UnsafeMutablePointer<Int>.allocate(capacity: 1)
    unsafe calls.initialize(to: 0)
    defer { unsafe calls.deallocate() }
    let release: @convention(c) (UnsafeMutableRawPointer?) -> Void = {
      unsafe $0?.assumingMemoryBound(to: Int.self).pointee += 1
    }
    var memory = numbers(10, seed: 1)
    unsafe memory.withUnsafeMutableBufferPointer { memory in
      var table: OpaquePointer?
      expectFault(
        EK_ERROR_INVALID_SIZE,
        unsafe ek_table_borrow(memory.baseAddress, 2, 0, float, release, calls, &table))
      #expect(unsafe calls.pointee == 0)
      expectOK(unsafe ek_table_borrow(memory.baseAddress, 2, 5, float, release, calls, &table))
      unsafe ek_table_destroy(table)
      #expect(unsafe calls.pointee == 1)
    }
  }
}
