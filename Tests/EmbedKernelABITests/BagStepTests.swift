// Steps by the gradient of bags from C: the bits of the gradient's rows stepped one call later.

import CEmbedKernel
import EmbedKernelABI
import Testing

@Suite struct BagStepTests {
  private let ids: [Int64] = [0, 11, 11, 3, 2, 6, 5, 11]
  private let lengths: [Int64] = [3, 0, 4, 1]
  private let weights: [Float] = [1, -2, 0.5, 3, 1, 1, 2, 0.25]
  private let wide = Int32(EK_DTYPE_INT64)

  private func with<Result>(
    _ pool: Int, padding: Int64 = -1, weights: UnsafePointer<Float>? = nil, frequency: Int = 0,
    _ body: (UnsafePointer<ek_bag_layout>, UnsafePointer<ek_bag_options>) -> Result
  ) -> Result {
    unsafe lengths.withUnsafeBufferPointer { lengths in
      var layout = unsafe ek_bag_layout(
        struct_size: MemoryLayout<ek_bag_layout>.size, kind: Int32(EK_BAGS_LENGTHS),
        dtype: wide, numbers: lengths.baseAddress, count: 4, length: 0)
      var options = unsafe ek_bag_options(
        struct_size: MemoryLayout<ek_bag_options>.size, weights: weights, padding_id: padding,
        pool: Int32(pool), unknown_ids: 0, backend: 0, threads: 0, gradient_scale: 1,
        frequency: Int32(frequency), summation: 0, writing: 0)
      return unsafe body(&layout, &options)
    }
  }

  /// One pass against two: the gradient's rows, and their step.
  @Test(
    arguments: ["sgd", "row-wise-adagrad", "adamw", "lamb"], [EK_BAG_SUM, EK_BAG_MEAN, EK_BAG_MAX])
  func stepsAreThoseOfTheGradientsRows(name: String, pool: Int) {
    let (fused, apart) = (Steps(name, EK_UNTOUCHED_LEFT), Steps(name, EK_UNTOUCHED_LEFT))
    let fresh = fused.values
    for k in 0..<3 {
      let gradient = numbers(20, seed: UInt64(40 + k))
      var winners = [Int32](repeating: -9, count: 20)
      var output = [Float](repeating: 0, count: 20)
      var (rows, values, count) = (
        [Int64](repeating: -1, count: 8), [Float](repeating: 0, count: 40), Int64(0)
      )
      unsafe weights.withUnsafeBufferPointer { given in
        let weights = pool == EK_BAG_SUM ? given.baseAddress : nil
        let frequency = pool == EK_BAG_MEAN ? 1 : 0
        unsafe with(pool, padding: 6, weights: weights, frequency: frequency) { layout, bag in
          if pool == EK_BAG_MAX {
            expectOK(
              unsafe ek_bag(
                ids, wide, 8, layout, apart.table, Int32(EK_DTYPE_FLOAT32), 12, 5, &output,
                Int32(EK_DTYPE_FLOAT32), &winners, bag))
          }
          unsafe winners.withUnsafeBufferPointer { winners in
            let won = pool == EK_BAG_MAX ? winners.baseAddress : nil
            expectOK(
              unsafe ek_bag_backward_sparse(
                gradient, ids, wide, 8, layout, won, 12, 5, &rows, wide, &values, 8, &count, bag))
            var options = fused.options(rate: 0.1)
            expectOK(
              unsafe ek_optimizer_step_bags(
                fused.optimizer, gradient, ids, wide, 8, layout, won, bag, &options))
          }
        }
      }
      #expect(pool == EK_BAG_MAX ? count > 0 : count == 5)
      apart.step(
        Array(rows.prefix(Int(count))), Array(values.prefix(Int(count) * 5)), rate: 0.1)
      #expect(fused.values.map(\.bitPattern) == apart.values.map(\.bitPattern), "step \(k)")
    }
    #expect(fused.values[5..<10] == fresh[5..<10])
    #expect(fused.values[30..<35] == fresh[30..<35], "the padding row stays")
    #expect(fused.values != fresh)
  }

  @Test func nothingMovesWhereAnArgumentIsWrong() {
    let steps = Steps("row-wise-adagrad", EK_UNTOUCHED_LEFT)
    let fresh = steps.values
    let gradient = numbers(20, seed: 1)
    var bad = ids
    bad[5] = 12
    unsafe with(EK_BAG_SUM) { layout, bag in
      var options = steps.options(rate: 0.1)
      let told = expectFault(
        EK_ERROR_TOKEN_OUT_OF_RANGE,
        unsafe ek_optimizer_step_bags(
          steps.optimizer, gradient, bad, wide, 8, layout, nil, bag, &options))
      #expect(told.value == 12)
      expectFault(
        EK_ERROR_INVALID_SIZE,
        unsafe ek_optimizer_step_bags(
          steps.optimizer, gradient, ids, wide, 7, layout, nil, bag, &options))
      expectFault(
        EK_ERROR_INVALID_POINTER,
        unsafe ek_optimizer_step_bags(
          steps.optimizer, nil, ids, wide, 8, layout, nil, bag, &options))
      expectFault(
        EK_ERROR_INVALID_HANDLE,
        unsafe ek_optimizer_step_bags(nil, gradient, ids, wide, 8, layout, nil, bag, &options))
    }
    #expect(steps.values == fresh)
  }
}
