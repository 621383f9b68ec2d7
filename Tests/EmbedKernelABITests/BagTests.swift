// Bags from C: the bits of the Swift calls, and errors that name value and place.

import CEmbedKernel
import EmbedKernel
import EmbedKernelABI
import EmbedRows
import Testing

@Suite struct BagTests {
  private let table: [Float] = (0..<35).map { Float(($0 * 31) % 17) - 8 }
  private let ids: [Int64] = [0, 4, 4, 1, 2, 6, 5]
  private let offsets: [Int32] = [0, 3, 3, 7]
  private let weights: [Float] = [1, -2, 0.5, 3, 1, 1, 2]
  private let gradient: [Float] = (0..<15).map { Float($0) - 6 }

  @discardableResult
  private func with<Result>(
    _ pool: Int, padding: Int64 = -1, weights: UnsafePointer<Float>? = nil,
    _ body: (UnsafePointer<ek_bag_layout>, UnsafePointer<ek_bag_options>) -> Result
  ) -> Result {
    unsafe offsets.withUnsafeBufferPointer { offsets in
      var layout = unsafe ek_bag_layout(
        struct_size: MemoryLayout<ek_bag_layout>.size, kind: Int32(EK_BAGS_OFFSETS_WITH_LAST),
        dtype: Int32(EK_DTYPE_INT32), numbers: offsets.baseAddress, count: 4, length: 0)
      var options = unsafe ek_bag_options(
        struct_size: MemoryLayout<ek_bag_options>.size, weights: weights, padding_id: padding,
        pool: Int32(pool), unknown_ids: 0, backend: 0, threads: 0, gradient_scale: 1, frequency: 0,
        summation: 0, writing: 0)
      return unsafe body(&layout, &options)
    }
  }

  @Test func bitsAreThoseOfSwift() throws {
    let rows = try EmbeddingTable<Float>(rows: 7, dim: 5, copying: table.span)
    for (number, pool) in [(EK_BAG_SUM, BagPool.sum), (EK_BAG_MEAN, .mean), (EK_BAG_MAX, .max)] {
      var (expected, output) = ([Float](repeating: 1, count: 15), [Float](repeating: 2, count: 15))
      var winners = [Int32](repeating: -9, count: 15)
      try Kernels.auto.bag(
        ids: ids, in: .offsets(offsets, last: .included), tokens: rows, pool: pool,
        options: BagOptions(paddingID: 2), into: &expected)
      unsafe with(number, padding: 2) { layout, options in
        expectOK(
          unsafe ek_bag(
            ids, Int32(EK_DTYPE_INT64), 7, layout, table, Int32(EK_DTYPE_FLOAT32), 7, 5, &output,
            Int32(EK_DTYPE_FLOAT32), nil, options))
        if pool == .max {
          expectOK(
            unsafe ek_bag(
              ids, Int32(EK_DTYPE_INT64), 7, layout, table, Int32(EK_DTYPE_FLOAT32), 7, 5, &output,
              Int32(EK_DTYPE_FLOAT32), &winners, options))
        }
      }
      #expect(output == expected)

      var workspace = try BagWorkspace()
      var (dense, given) = ([Float](repeating: 1, count: 35), [Float](repeating: 2, count: 35))
      try Kernels.auto.bagBackward(
        gradient, ids: ids, in: .offsets(offsets, last: .included),
        winners: pool == .max ? winners : nil, rows: 7, dim: 5, pool: pool,
        options: BagOptions(paddingID: 2), tokens: .dense(&dense, .overwrite),
        workspace: &workspace)
      var (listed, values, count) = (
        [Int64](repeating: -1, count: 7), [Float](repeating: 0, count: 35), Int64(0)
      )
      unsafe with(number, padding: 2) { layout, options in
        unsafe winners.withUnsafeBufferPointer { winners in
          let won = pool == .max ? winners.baseAddress : nil
          expectOK(
            unsafe ek_bag_backward(
              gradient, ids, Int32(EK_DTYPE_INT64), 7, layout, won, 7, 5, &given, options))
          expectOK(
            unsafe ek_bag_backward_sparse(
              gradient, ids, Int32(EK_DTYPE_INT64), 7, layout, won, 7, 5, &listed,
              Int32(EK_DTYPE_INT64), &values, 7, &count, options))
        }
      }
      #expect(given == dense)
      var spread = [Float](repeating: 0, count: 35)
      for k in 0..<Int(count) {
        for i in 0..<5 { spread[Int(listed[k]) * 5 + i] = values[k * 5 + i] }
      }
      #expect(spread == dense)
    }
  }

  @Test func weightsAndTheirGradient() throws {
    let rows = try EmbeddingTable<Float>(rows: 7, dim: 5, copying: table.span)
    var (expected, output) = ([Float](repeating: 1, count: 15), [Float](repeating: 2, count: 15))
    var (ofWeights, given) = ([Float](repeating: 1, count: 7), [Float](repeating: 2, count: 7))
    try Kernels.auto.bag(
      ids: ids, in: .offsets(offsets, last: .included), weights: weights, tokens: rows, pool: .sum,
      into: &expected)
    try Kernels.auto.bagWeightGradient(
      gradient, ids: ids, in: .offsets(offsets, last: .included), tokens: rows, into: &ofWeights)
    unsafe weights.withUnsafeBufferPointer { weights in
      unsafe with(EK_BAG_SUM, weights: weights.baseAddress) { layout, options in
        expectOK(
          unsafe ek_bag(
            ids, Int32(EK_DTYPE_INT64), 7, layout, table, Int32(EK_DTYPE_FLOAT32), 7, 5, &output,
            Int32(EK_DTYPE_FLOAT32), nil, options))
        expectOK(
          unsafe ek_bag_weight_gradient(
            gradient, ids, Int32(EK_DTYPE_INT64), 7, layout, table, Int32(EK_DTYPE_FLOAT32), 7, 5,
            &given, options))
      }
    }
    #expect(output == expected)
    #expect(given == ofWeights)
  }

  @Test func faultsAreNamed() {
    var output = [Float](repeating: 9, count: 15)
    let bad: [Int64] = [0, 4, 4, 1, 7, 6, 5]
    unsafe with(EK_BAG_MEAN) { layout, options in
      let told = expectFault(
        EK_ERROR_TOKEN_OUT_OF_RANGE,
        unsafe ek_bag(
          bad, Int32(EK_DTYPE_INT64), 7, layout, table, Int32(EK_DTYPE_FLOAT32), 7, 5, &output,
          Int32(EK_DTYPE_FLOAT32), nil, options))
      #expect(told.value == 7)
      expectFault(
        EK_ERROR_INVALID_SIZE,
        unsafe ek_bag(
          ids, Int32(EK_DTYPE_INT64), 6, layout, table, Int32(EK_DTYPE_FLOAT32), 7, 5, &output,
          Int32(EK_DTYPE_FLOAT32), nil, options))
      expectFault(
        EK_ERROR_INVALID_POINTER,
        unsafe ek_bag(
          ids, Int32(EK_DTYPE_INT64), 7, nil, table, Int32(EK_DTYPE_FLOAT32), 7, 5, &output,
          Int32(EK_DTYPE_FLOAT32), nil, options))
      var winners = [Int32](repeating: 0, count: 15)
      expectFault(
        EK_ERROR_UNSUPPORTED,
        unsafe ek_bag(
          ids, Int32(EK_DTYPE_INT64), 7, layout, table, Int32(EK_DTYPE_FLOAT32), 7, 5, &output,
          Int32(EK_DTYPE_FLOAT32), &winners, options))
    }
    unsafe with(7) { layout, options in
      expectFault(
        EK_ERROR_INVALID_OPTION,
        unsafe ek_bag(
          ids, Int32(EK_DTYPE_INT64), 7, layout, table, Int32(EK_DTYPE_FLOAT32), 7, 5, &output,
          Int32(EK_DTYPE_FLOAT32), nil, options))
    }
    #expect(output.allSatisfy { $0 == 9 })
  }

  /// No bags, whose arrays may be at no address, and counts past all memory.
  @Test func countsOfNothingAndOfTooMuch() {
    var dense = [Float](repeating: 9, count: 35)
    for pool in [EK_BAG_SUM, EK_BAG_MEAN, EK_BAG_MAX] {
      unsafe with(pool) { layout, options in
        var none = unsafe layout.pointee
        unsafe (none.kind, none.count, none.length) = (Int32(EK_BAGS_RECTANGLE), 0, .max)
        dense = [Float](repeating: 9, count: 35)
        expectOK(
          unsafe ek_bag_backward(
            nil, nil, Int32(EK_DTYPE_INT64), 0, &none, nil, 7, 5, &dense, options))
        #expect(dense.allSatisfy { $0 == 0 })
        var (listed, values, count) = ([Int64](), [Float](), Int64(9))
        expectOK(
          unsafe ek_bag_backward_sparse(
            nil, nil, Int32(EK_DTYPE_INT64), 0, &none, nil, 7, 5, &listed, Int32(EK_DTYPE_INT64),
            &values, 0, &count, options))
        #expect(count == 0)
        var output = [Float](repeating: 9, count: 15)
        for ids: Int64 in [.max, .max - 7, 1 << 60] {
          expectFault(
            EK_ERROR_SIZE_OVERFLOW,
            unsafe ek_bag(
              self.ids, Int32(EK_DTYPE_INT64), ids, layout, table, Int32(EK_DTYPE_FLOAT32), 7, 5,
              &output, Int32(EK_DTYPE_FLOAT32), nil, options))
          expectFault(
            EK_ERROR_SIZE_OVERFLOW,
            unsafe ek_bag_backward_sparse(
              gradient, self.ids, Int32(EK_DTYPE_INT64), 7, layout, nil, 7, 5, &listed,
              Int32(EK_DTYPE_INT64), &values, ids, &count, options))
        }
        #expect(output.allSatisfy { $0 == 9 })
      }
    }
  }
}
