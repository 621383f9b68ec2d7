// Rotary scalings by their numbers, and biases with parameters, through C.

import CEmbedKernel
import CSystem
import EmbedKernelABI
import Testing

@Suite struct SchemeTests {
  private func scaling(_ kind: Int, _ set: (inout ek_rotary_scaling) -> Void = { _ in })
    -> ek_rotary_scaling
  {
    var made = unsafe ek_rotary_scaling(
      struct_size: MemoryLayout<ek_rotary_scaling>.stride, kind: Int32(kind),
      ramp: Int32(EK_RAMP_WHOLE_PAIRS), factor: .nan, trained_length: .nan, attention_factor: .nan,
      fast_turns: .nan, slow_turns: .nan, low_frequency_factor: .nan, high_frequency_factor: .nan,
      proportion: .nan, short_factors: nil, long_factors: nil, factor_count: 0)
    unsafe set(&made)
    return unsafe made
  }

  private func cosines(_ scaling: ek_rotary_scaling, first: Int64, count: Int64) -> [Float] {
    var (rotary, scaling): (OpaquePointer?, ek_rotary_scaling) = unsafe (nil, scaling)
    expectOK(
      unsafe ek_rotary_create_scaled(16, 0, 500, Int32(EK_LAYOUT_HALVES), &scaling, &rotary))
    var (cosines, sines) = (
      [Float](repeating: 0, count: 8 * Int(count)), [Float](repeating: 0, count: 8 * Int(count))
    )
    expectOK(unsafe ek_rotary_rows(rotary, first, count, &cosines, &sines))
    unsafe ek_rotary_destroy(rotary)
    return cosines
  }

  @Test func aLinearScalingTurnsByAFractionOfThePosition() {
    let plain = unsafe cosines(scaling(EK_SCALING_NONE), first: 3, count: 1)
    let linear = unsafe cosines(
      scaling(EK_SCALING_LINEAR) { unsafe $0.factor = 4 }, first: 12, count: 1)
    #expect(plain == linear)
    let none = unsafe cosines(
      scaling(EK_SCALING_PROPORTIONAL) { unsafe $0.proportion = 0.25 }, first: 9, count: 1)
    #expect(none[2...].allSatisfy { $0 == 1 } && none[0] != 1)
  }

  @Test func scalingsThatAreNoneAreNamed() {
    var rotary: OpaquePointer?
    func make(_ code: Int, _ scaling: ek_rotary_scaling) {
      var scaling = unsafe scaling
      expectFault(
        code, unsafe ek_rotary_create_scaled(16, 0, 500, Int32(EK_LAYOUT_HALVES), &scaling, &rotary)
      )
    }
    unsafe make(EK_ERROR_INVALID_OPTION, scaling(99))
    unsafe make(EK_ERROR_INVALID_OPTION, scaling(-1))
    unsafe make(EK_ERROR_INVALID_OPTION, scaling(EK_SCALING_NONE) { unsafe $0.struct_size = 4 })
    unsafe make(EK_ERROR_INVALID_VALUE, scaling(EK_SCALING_LINEAR))
    unsafe make(
      EK_ERROR_INVALID_VALUE,
      scaling(EK_SCALING_DYNAMIC) { unsafe ($0.factor, $0.trained_length) = (2, 10.5) })
    unsafe make(
      EK_ERROR_INVALID_POINTER,
      scaling(EK_SCALING_LONGROPE) {
        unsafe ($0.factor, $0.trained_length, $0.factor_count) = (2, 64, 8)
      })
    expectFault(
      EK_ERROR_INVALID_POINTER,
      unsafe ek_rotary_create_scaled(16, 0, 500, Int32(EK_LAYOUT_HALVES), nil, &rotary))
  }

  private func written(_ bias: OpaquePointer?, heads: Int64, size: Int64) -> [Float] {
    var values = [Float](repeating: .nan, count: Int(heads * size * size))
    expectOK(
      unsafe ek_bias_write(
        bias, &values, Int32(EK_DTYPE_FLOAT32), 1, heads, size, size, nil))
    return values
  }

  @Test func parametersAreTakenAndKept() {
    var bias: OpaquePointer?
    let parameters: [Float] = [1, 0.5, 2, 0.25]
    expectOK(
      unsafe ek_bias_kerple(Int32(EK_KERPLE_LOGARITHMIC), parameters, 2, &bias))
    for (head, (p, a)) in [(1.0, 2.0), (0.5, 0.25)].enumerated() {
      let found = unsafe written(bias, heads: 2, size: 3)[head * 9 + 2]
      #expect(abs(Double(found) + p * log1p(a * 2)) < 1e-6)
    }
    let twice = parameters.map { 2 * $0 }
    expectOK(unsafe ek_bias_set_weights(bias, twice, 4))
    #expect(abs(Double(unsafe written(bias, heads: 2, size: 3)[2]) + 2 * log1p(8)) < 1e-6)
    expectFault(EK_ERROR_WRONG_ELEMENT_COUNT, unsafe ek_bias_set_weights(bias, twice, 3))
    unsafe ek_bias_destroy(bias)

    // FIRE of 2 heads and 3 units refuses what is no number, and goes on as it was.
    let network = [Float](repeating: 0.5, count: 2 * 3 + 2 * 3 + 2 + 2)
    expectOK(unsafe ek_bias_fire(2, 3, 8, 1e-6, network, &bias))
    let before = unsafe written(bias, heads: 2, size: 4)
    var broken = network
    broken[4] = .nan
    expectFault(
      EK_ERROR_INVALID_VALUE, unsafe ek_bias_set_weights(bias, broken, Int64(broken.count)))
    #expect(unsafe written(bias, heads: 2, size: 4) == before)
    unsafe ek_bias_destroy(bias)

    expectOK(unsafe ek_bias_sandwich(2, 8, 10_000, &bias))
    expectFault(EK_ERROR_UNSUPPORTED, unsafe ek_bias_set_weights(bias, parameters, 4))
    unsafe ek_bias_destroy(bias)
    // A window of 2 by 2 has 9 differences; its middle is that of a token to itself.
    let window = (0..<9).map(Float.init)
    expectOK(unsafe ek_bias_swin(2, 2, window, 1, &bias))
    let swin = unsafe written(bias, heads: 1, size: 4)
    #expect(swin[0] == 4 && swin[1] == 3 && swin[2] == 1 && swin[4] == 5)
    unsafe ek_bias_destroy(bias)
    expectFault(EK_ERROR_INVALID_SIZE, unsafe ek_bias_swin(0, 2, window, 1, &bias))
    expectFault(EK_ERROR_INVALID_SIZE, unsafe ek_bias_fire(0, 3, 8, 1e-6, network, &bias))
    expectFault(EK_ERROR_INVALID_OPTION, unsafe ek_bias_kerple(2, parameters, 2, &bias))
  }
}
