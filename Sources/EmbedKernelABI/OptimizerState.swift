// The state of optimisers as arrays that C reads and brings.
//
// R rows, D dim.

public import CEmbedKernel
internal import EmbedKernel

/// Documented in embedkernel.h.
@c @implementation
public func ek_optimizer_state(
  _ optimizer: OpaquePointer?, _ index: Int64, _ array: UnsafeMutablePointer<ek_state_array>?
) -> Int32 {
  attempt {
    let found: OptimizerObject = try unsafe object(optimizer, "optimizer")
    let place = try unsafe place(of: array, "array")
    let arrays = found.optimizer.stateArrays
    guard index >= 0, index < arrays.count else {
      throw CallError.index("index", value: Int(index), count: arrays.count)
    }
    let array = arrays[Int(index)]
    unsafe place.pointee = array.described(at: found.optimizer.memory(of: array).baseAddress)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_optimizer_state_layout(
  _ options: UnsafePointer<ek_optimizer_options>?, _ rows: Int64, _ dim: Int64,
  _ arrays: UnsafeMutablePointer<ek_state_array>?, _ capacity: Int64,
  _ count: UnsafeMutablePointer<Int64>?
) -> Int32 {
  attempt {
    let given = try unsafe required(options, "options")
    let place = try unsafe place(of: count, "count")
    guard rows > 0, dim > 0 else {
      throw EmbedError.invalidSize(
        argument: rows > 0 ? "dim" : "rows", value: Int(rows > 0 ? dim : rows),
        expected: "1 or more")
    }
    _ = try elementCount("optimiser state", Int(rows), Int(dim))
    let list = try unsafe rule(given).rule.stateArrays(rows: Int(rows), dim: Int(dim))
    let room = try EmbedKernelABI.count(capacity, "capacity")
    let memory = try unsafe writable(arrays, room, "arrays")
    unsafe place.pointee = Int64(list.count)
    for (i, array) in list.prefix(room).enumerated() { unsafe memory[i] = array.described(at: nil) }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_optimizer_set_step_count(_ optimizer: OpaquePointer?, _ steps: Int64) -> Int32 {
  attempt {
    let found: OptimizerObject = try unsafe object(optimizer, "optimizer")
    try found.lock.withLock { _ in try found.optimizer.restart(at: Int(steps)) }
  }
}

extension StateArray {
  fileprivate func described(at data: UnsafeMutableRawPointer?) -> ek_state_array {
    var array = unsafe ek_state_array()
    unsafe array.name = UnsafeRawPointer(Self.name(name).utf8Start)
      .assumingMemoryBound(to: CChar.self)
    unsafe array.dtype =
      switch element {
      case .float32: Int32(EK_DTYPE_FLOAT32)
      case .int32: Int32(EK_DTYPE_INT32)
      case .int8: Int32(EK_DTYPE_INT8)
      case .bfloat16: Int32(EK_DTYPE_BFLOAT16)
      }
    unsafe array.rank = Int32(shape.count)
    unsafe array.shape = (Int64(shape[0]), shape.count > 1 ? Int64(shape[1]) : 1)
    unsafe array.bytes = Int64(byteCount)
    unsafe array.data = data
    return unsafe array
  }

  /// The names as texts that last.
  private static func name(_ name: String) -> StaticString {
    switch name {
    case "exp_avg": "exp_avg"
    case "exp_avg_sq": "exp_avg_sq"
    case "momentum": "momentum"
    case "sum": "sum"
    case "residual": "residual"
    case "parameter_steps": "parameter_steps"
    case "moment_steps": "moment_steps"
    default: "state"
    }
  }
}
