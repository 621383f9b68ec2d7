// Kernels on the caller's memory against plain loops, and what they say of bad arguments.

import CEmbedKernel
import EmbedKernel
import EmbedKernelABI
import Testing

private let float = Int32(EK_DTYPE_FLOAT32)
private let wide = Int32(EK_DTYPE_INT64)

@Suite struct KernelTests {
  let tokens = numbers(55, seed: 1)
  let positions = numbers(20, seed: 2)
  let ids: [Int64] = [0, 10, 3, 3, 7, 0]

  private func embed(
    _ ids: [Int64], into output: inout [Float], _ options: UnsafePointer<ek_embed_options>? = nil
  ) -> Int32 {
    unsafe ek_embed(
      ids, wide, 2, 3, tokens, float, 11, 5, positions, 4, &output, float, options)
  }

  @Test func embedsAsPlainLoopsDo() {
    var output = [Float](repeating: 9, count: 30)
    unsafe expectOK(embed(ids, into: &output))
    for n in 0..<6 {
      for i in 0..<5 {
        #expect(output[n * 5 + i] == tokens[Int(ids[n]) * 5 + i] + positions[n % 3 * 5 + i])
      }
    }
    // 32-bit ids, given positions and a scale.
    let narrow = ids.map(Int32.init(truncatingIfNeeded:))
    let places: [Int64] = [3, 2, 1, 0, 1, 3]
    unsafe places.withUnsafeBufferPointer { data in
      var place = unsafe ek_positions()
      unsafe place.struct_size = MemoryLayout<ek_positions>.stride
      unsafe place.kind = Int32(EK_POSITIONS_EXPLICIT)
      unsafe place.dtype = wide
      unsafe place.data = UnsafeRawPointer(data.baseAddress)
      unsafe place.count = 6
      unsafe withUnsafePointer(to: place) { place in
        var options = unsafe ek_embed_options()
        unsafe options.struct_size = MemoryLayout<ek_embed_options>.stride
        unsafe options.scale = 2
        unsafe options.place = place
        expectOK(
          unsafe ek_embed(
            narrow, Int32(EK_DTYPE_INT32), 2, 3, tokens, float, 11, 5, positions, 4, &output,
            float, &options))
      }
    }
    for n in 0..<6 {
      for i in 0..<5 {
        let row = 2 * tokens[Int(ids[n]) * 5 + i]
        #expect(output[n * 5 + i] == row + positions[Int(places[n]) * 5 + i])
      }
    }
  }

  @Test func namesTheIDThatIsOutside() {
    var output = [Float](repeating: 9, count: 30)
    let told = unsafe expectFault(
      EK_ERROR_TOKEN_OUT_OF_RANGE, embed([0, 1, 2, 3, 11, 5], into: &output))
    #expect(told.kind == "tokenOutOfRange")
    #expect((told.row, told.position, told.value, told.bound) == (1, 1, 11, 11))
    #expect(output == [Float](repeating: 9, count: 30))
  }

  @Test func refusesBadArguments() {
    var output = [Float](repeating: 9, count: 30)
    func call(
      _ idType: Int32 = wide, _ batch: Int64 = 2, _ context: Int64 = 3, _ type: Int32 = float,
      _ vocabulary: Int64 = 11, _ dim: Int64 = 5, maximum: Int64 = 4
    ) -> Int32 {
      unsafe ek_embed(
        ids, idType, batch, context, tokens, type, vocabulary, dim, positions, maximum, &output,
        float, nil)
    }
    expectFault(EK_ERROR_INVALID_OPTION, call(float))
    expectFault(EK_ERROR_INVALID_SIZE, call(wide, -1))
    expectFault(EK_ERROR_SIZE_OVERFLOW, call(wide, .max, 3))
    expectFault(EK_ERROR_SIZE_OVERFLOW, call(wide, 2, .max))
    expectFault(EK_ERROR_INVALID_OPTION, call(wide, 2, 3, 9))
    expectFault(EK_ERROR_INVALID_SIZE, call(wide, 2, 3, float, 0))
    expectFault(EK_ERROR_SIZE_OVERFLOW, call(wide, 2, 3, float, .max))
    expectFault(EK_ERROR_INVALID_SIZE, call(wide, 2, 3, float, 11, -5))
    expectFault(EK_ERROR_CONTEXT_TOO_LONG, call(maximum: 2))
    expectFault(EK_ERROR_INVALID_SIZE, call(maximum: -1))
    expectFault(EK_ERROR_SIZE_OVERFLOW, call(maximum: .max))
    let null = expectFault(
      EK_ERROR_INVALID_POINTER,
      unsafe ek_embed(nil, wide, 2, 3, tokens, float, 11, 5, nil, 0, &output, float, nil))
    #expect(null.argument == "ids")
    expectFault(
      EK_ERROR_INVALID_POINTER,
      unsafe ek_embed(ids, wide, 2, 3, nil, float, 11, 5, nil, 0, &output, float, nil))
    expectFault(
      EK_ERROR_INVALID_POINTER,
      unsafe ek_embed(ids, wide, 2, 3, tokens, float, 11, 5, nil, 0, nil, float, nil))
    unsafe output.withUnsafeMutableBytes { bytes in
      let odd = unsafe bytes.baseAddress.unsafelyUnwrapped + 1
      let told = expectFault(
        EK_ERROR_INVALID_POINTER,
        unsafe ek_embed(ids, wide, 1, 1, tokens, float, 11, 5, nil, 0, odd, float, nil))
      #expect(told.argument == "output")
    }
    // The output over the ids.
    var shared = [Int64](repeating: 0, count: 40)
    unsafe shared.withUnsafeMutableBytes { bytes in
      let base = bytes.baseAddress
      let told = expectFault(
        EK_ERROR_OVERLAPPING_MEMORY,
        unsafe ek_embed(base, wide, 2, 3, tokens, float, 11, 5, nil, 0, base, float, nil))
      #expect(told.argument == "ids")
    }
    var options = unsafe ek_embed_options()
    let size = expectFault(EK_ERROR_INVALID_OPTION, unsafe embed(ids, into: &output, &options))
    #expect(size.argument == "options.struct_size")
    #expect(output == [Float](repeating: 9, count: 30))
    expectOK(unsafe ek_embed(nil, wide, 0, 3, tokens, float, 11, 5, nil, 0, nil, float, nil))
  }

  @Test func gradientsAreThoseOfPlainLoops() {
    let gradient = numbers(30, seed: 3)
    var expected = [Float](repeating: 0, count: 55)
    for n in 0..<6 { for i in 0..<5 { expected[Int(ids[n]) * 5 + i] += gradient[n * 5 + i] } }
    var dense = [Float](repeating: 9, count: 55)
    var places = [Float](repeating: 9, count: 20)
    expectOK(unsafe ek_backward(gradient, ids, wide, 2, 3, 11, 5, &dense, &places, 4, nil))
    #expect(dense == expected)
    for i in 0..<15 { #expect(places[i] == gradient[i] + gradient[15 + i]) }
    #expect(places[15...] == [0, 0, 0, 0, 0])

    var rows = [Int64](repeating: 0, count: 6)
    var values = [Float](repeating: 0, count: 30)
    var count: Int64 = 0
    expectOK(
      unsafe ek_backward_sparse(
        gradient, ids, wide, 2, 3, 11, 5, &rows, wide, &values, 6, &count, nil, 0, nil))
    #expect(rows[..<4] == [0, 3, 7, 10])
    #expect(count == 4)
    for k in 0..<4 {
      for i in 0..<5 { #expect(values[k * 5 + i] == expected[Int(rows[k]) * 5 + i]) }
    }
    let untouched = values
    let told = expectFault(
      EK_ERROR_BUFFER_TOO_SMALL,
      unsafe ek_backward_sparse(
        gradient, ids, wide, 2, 3, 11, 5, &rows, wide, &values, 3, &count, nil, 0, nil))
    #expect((told.value, told.bound, count) == (4, 3, 4))
    #expect(values == untouched)
  }

  @Test func rowsAreScaledToTheirGreatestNorm() {
    var table: [Float] = [3, 4, 0.3, 0.4, 30, 40]
    var changed: Int64 = 0
    expectOK(
      unsafe ek_renormalize_rows(
        &table, float, 3, 2, [0, 1, 0, 0] as [Int64], wide, 4, 1, 2, &changed))
    #expect(changed == 1)
    #expect(abs(table[0] - 0.6) < 1e-6 && abs(table[1] - 0.8) < 1e-6)
    #expect(table[2...] == [0.3, 0.4, 30, 40])
    let told = expectFault(
      EK_ERROR_TOKEN_OUT_OF_RANGE,
      unsafe ek_renormalize_rows(&table, float, 3, 2, [0, 3] as [Int64], wide, 2, 1, 2, nil))
    #expect((told.position, told.value) == (1, 3))
    expectFault(
      EK_ERROR_INVALID_VALUE,
      unsafe ek_renormalize_rows(&table, float, 3, 2, [0] as [Int64], wide, 1, -1, 2, nil))
  }

  @Test func normalisesRows() {
    let input = numbers(20, seed: 4)
    let (gamma, beta) = (numbers(5, seed: 5), numbers(5, seed: 6))
    var output = [Float](repeating: 9, count: 20)
    expectOK(
      unsafe ek_normalize(input, 4, 5, Int32(EK_NORM_LAYER), gamma, beta, 1e-5, &output, 0))
    for n in 0..<4 {
      let row = input[n * 5..<n * 5 + 5].map(Double.init)
      let mean = row.reduce(0, +) / 5
      let variance = row.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / 5
      for i in 0..<5 {
        let value = (row[i] - mean) / (variance + 1e-5).squareRoot()
        let expected = value * Double(gamma[i]) + Double(beta[i])
        #expect(abs(Double(output[n * 5 + i]) - expected) < 1e-5)
      }
    }
    // Along its gradient the sum of g * output changes by the gradient's square.
    let g = numbers(20, seed: 7)
    var (inputGradient, gammaGradient) = (
      [Float](repeating: 9, count: 20), [Float](repeating: 0, count: 5)
    )
    expectOK(
      unsafe ek_normalize_backward(
        g, input, 4, 5, Int32(EK_NORM_LAYER), gamma, beta, 1e-5, &inputGradient, &gammaGradient,
        nil, 0))
    let step: Float = 1e-3
    var moved = [Float](repeating: 0, count: 20)
    let further = zip(input, inputGradient).map { $0 + step * $1 }
    expectOK(
      unsafe ek_normalize(further, 4, 5, Int32(EK_NORM_LAYER), gamma, beta, 1e-5, &moved, 0))
    let change = zip(g, zip(moved, output)).map { Double($0) * Double($1.0 - $1.1) }.reduce(0, +)
    let square = inputGradient.map { Double($0 * $0) }.reduce(0, +) * Double(step)
    #expect(abs(change - square) < 0.05 * square)
    expectFault(
      EK_ERROR_INVALID_OPTION,
      unsafe ek_normalize(input, 4, 5, 0, gamma, beta, 1e-5, &output, 0))
    expectFault(
      EK_ERROR_OVERLAPPING_MEMORY,
      unsafe moved.withUnsafeMutableBufferPointer { memory in
        unsafe ek_normalize(
          memory.baseAddress, 4, 5, Int32(EK_NORM_RMS), nil, nil, 1e-5, memory.baseAddress, 0)
      })
  }
}
