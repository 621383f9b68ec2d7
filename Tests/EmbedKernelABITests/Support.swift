// What tests of the C interface share: the facts of the last error, and calls that must fail in one way.

import CEmbedKernel
import EmbedKernelABI
import Testing

/// The last error's facts as Swift values.
struct Told: Equatable {
  var code: Int
  var kind: String
  var argument: String
  var row: Int64
  var position: Int64
  var value: Int64
  var bound: Int64
  var message: String
  var path: String

  init() {
    let error = unsafe ek_last_error().pointee
    unsafe code = Int(error.code)
    unsafe kind = String(cString: error.kind)
    unsafe argument = String(cString: error.argument)
    unsafe row = error.row
    unsafe position = error.position
    unsafe value = error.value
    unsafe bound = error.bound
    unsafe message = String(cString: error.message)
    unsafe path = String(cString: error.path)
  }
}

/// What a call that must succeed returns.
func expectOK(_ code: Int32, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(code == EK_OK, "\(Told().message)", sourceLocation: sourceLocation)
}

/// The facts of a call that must fail with `code`.
@discardableResult
func expectFault(
  _ expected: Int, _ code: Int32, sourceLocation: SourceLocation = #_sourceLocation
) -> Told {
  let told = Told()
  #expect(Int(code) == expected, "\(told.message)", sourceLocation: sourceLocation)
  #expect(told.code == expected, sourceLocation: sourceLocation)
  #expect(!told.message.isEmpty, sourceLocation: sourceLocation)
  return told
}

/// Numbers in -1..<1 that are the same in every run.
func numbers(_ count: Int, seed: UInt64) -> [Float] {
  var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
  }
}

/// Ids below `bound`, with repeats.
func someIDs(_ count: Int, below bound: Int, seed: UInt64) -> [Int64] {
  numbers(count, seed: seed).map { min(Int64(bound - 1), Int64(($0 + 1) / 2 * Float(bound))) }
}

extension Int64 {
  init(_ value: Float) { self = Int64(exactly: value.rounded(.towardZero)) ?? 0 }
}

/// Calls `body` with an optimiser's usual options, as EK_OPTIMIZER_OPTIONS_INIT has them; its name holds that long.
func withOptimizerOptions(
  _ name: String, rate: Double, _ body: (inout ek_optimizer_options) -> Void
) {
  unsafe name.withCString { name in
    var options = unsafe ek_optimizer_options()
    unsafe options.struct_size = MemoryLayout<ek_optimizer_options>.stride
    unsafe options.name = name
    unsafe options.learning_rate = rate
    unsafe options.weight_decay = .nan
    unsafe options.beta1 = .nan
    unsafe options.beta2 = .nan
    unsafe options.epsilon = .nan
    unsafe options.initial_sum = .nan
    unsafe options.rate_decay = .nan
    unsafe options.frozen_row = -1
    unsafe body(&options)
  }
}
