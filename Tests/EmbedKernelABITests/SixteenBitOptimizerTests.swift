// Steps of tables of 16-bit elements through C, and Adam's moments in bfloat16: what masters give, rounded; and
// types that a rule's moments do not take.

import CEmbedKernel
import EmbedKernel
import EmbedKernelABI
import Testing

private let float = Int32(EK_DTYPE_FLOAT32)

@Suite struct SixteenBitOptimizerTests {
  private let rows = 6
  private let dim = 5

  private func withOptions(
    _ name: String, moments: Int = EK_DTYPE_FLOAT32,
    _ body: (inout ek_optimizer_options) -> Void
  ) {
    unsafe withOptimizerOptions(name, rate: 0.05) { options in
      unsafe options.moment_dtype = Int32(moments)
      unsafe body(&options)
    }
  }

  /// A table's elements after five dense steps from `start`.
  private func stepped<Element>(
    _ start: [Element], _ type: Int, _ name: String, moments: Int = EK_DTYPE_FLOAT32
  ) -> [Element] {
    var table = start
    unsafe table.withUnsafeMutableBytes { memory in
      var (handle, optimizer): (OpaquePointer?, OpaquePointer?)
      expectOK(
        unsafe ek_table_borrow(
          memory.baseAddress, Int64(rows), Int64(dim), Int32(type), nil, nil, &handle))
      unsafe withOptions(name, moments: moments) { options in
        expectOK(unsafe ek_optimizer_create(handle, &options, &optimizer))
      }
      for k in 0..<5 {
        expectOK(
          unsafe ek_optimizer_step_dense(
            optimizer, numbers(rows * dim, seed: UInt64(40 + k)), nil))
      }
      unsafe ek_optimizer_destroy(optimizer)
      unsafe ek_table_destroy(handle)
    }
    return table
  }

  @Test(arguments: ["sgd", "adagrad", "adamw", "lamb"])
  func mastersAreRoundedToNearest(name: String) {
    let count = rows * dim
    for type in [EK_DTYPE_FLOAT16, EK_DTYPE_BFLOAT16] {
      var narrow = [UInt16](repeating: 0, count: count)
      var wide = numbers(count, seed: 30)
      unsafe expectOK(ek_convert(wide, float, &narrow, Int32(type), Int64(count)))
      unsafe expectOK(ek_convert(narrow, Int32(type), &wide, float, Int64(count)))
      let floats = stepped(wide, EK_DTYPE_FLOAT32, name)
      #expect(floats != wide)
      var expected = [UInt16](repeating: 0, count: count)
      unsafe expectOK(ek_convert(floats, float, &expected, Int32(type), Int64(count)))
      #expect(stepped(narrow, type, name) == expected, "type \(type)")
    }
  }

  /// Each rounding moves a moment by at most 2^-7 of it, and at step t there have been t - 1. With nearly
  /// equal weights |m| is at most 1.01 sqrt(v), so m / sqrt(v) is off by at most (t - 1) 2^-7 for m and half
  /// of that for the root: 1.6 (t - 1) 2^-7, which over five steps adds up to 16 * 2^-7.
  @Test(arguments: ["adam", "adamw"])
  func momentsInBFloat16ComeWithinTheirRounding(name: String) {
    let start = numbers(rows * dim, seed: 30)
    let floats = stepped(start, EK_DTYPE_FLOAT32, name)
    let rounded = stepped(start, EK_DTYPE_FLOAT32, name, moments: EK_DTYPE_BFLOAT16)
    #expect(rounded != floats)
    #expect(stepped(start, EK_DTYPE_FLOAT32, name, moments: EK_DTYPE_BFLOAT16) == rounded)
    for (a, b) in zip(rounded, floats) { #expect(abs(a - b) <= 0.05 * 16 / 128) }
  }

  @Test func momentsTakeHalfTheMemory() {
    for (type, bytes) in [(EK_DTYPE_FLOAT32, 4), (EK_DTYPE_BFLOAT16, 2)] {
      var count: Int64 = 0
      var arrays = unsafe [ek_state_array](repeating: ek_state_array(), count: 8)
      unsafe withOptions("adamw", moments: type) { options in
        expectOK(
          unsafe ek_optimizer_state_layout(
            &options, Int64(rows), Int64(dim), &arrays, 8, &count))
      }
      for i in 0..<2 { #expect(unsafe arrays[i].bytes == rows * dim * bytes) }
    }
  }

  @Test func typesOfMomentsThatAreNoneAreNamed() {
    let cases = [
      ("adamw", EK_DTYPE_INT8, EK_ERROR_INVALID_OPTION, "moment_dtype"),
      ("adamw", -1, EK_ERROR_INVALID_OPTION, "moment_dtype"),
      ("adamw", EK_DTYPE_FLOAT16, EK_ERROR_UNSUPPORTED, "type of the moments"),
      ("sgd", EK_DTYPE_BFLOAT16, EK_ERROR_UNSUPPORTED, "type of the moments of sgd"),
      ("lamb", EK_DTYPE_BFLOAT16, EK_ERROR_UNSUPPORTED, "type of the moments of lamb"),
    ]
    var (table, optimizer): (OpaquePointer?, OpaquePointer?)
    expectOK(unsafe ek_table_create(Int64(rows), Int64(dim), float, &table))
    for (name, type, code, argument) in cases {
      unsafe withOptions(name, moments: type) { options in
        let told = expectFault(code, unsafe ek_optimizer_create(table, &options, &optimizer))
        #expect(told.argument == argument)
        #expect(unsafe optimizer == nil)
      }
    }
    unsafe ek_table_destroy(table)
  }
}
