// The fused layer on tables of 16-bit elements through C: the bits of the call on the widened tables, rounded
// once; and what it says of types that it does not take.

import CEmbedKernel
import EmbedKernelABI
import Testing

@Suite struct FusedTests {
  private let vocabulary = 11
  private let dim = 37
  private let maximum = 4
  private let segmentCount = 2
  private let batch = 2
  private let context = 3
  private let ids: [Int64] = [0, 10, 3, 3, 7, 0]
  private let segmentIDs: [Int64] = [0, 1, 1, 0, 0, 1]
  private let sixteenBits = [EK_DTYPE_FLOAT16, EK_DTYPE_BFLOAT16]

  /// Tables of 16-bit elements, and the floats that those stand for.
  private struct Tables {
    let type: Int
    let narrow: [[UInt16]]
    let wide: [[Float]]

    init(_ type: Int, _ counts: [Int]) {
      self.type = type
      var (narrow, wide): ([[UInt16]], [[Float]]) = ([], [])
      for (seed, count) in counts.enumerated() {
        var elements = [UInt16](repeating: 0, count: count)
        var floats = numbers(count, seed: UInt64(seed + 1))
        unsafe expectOK(
          ek_convert(floats, Int32(EK_DTYPE_FLOAT32), &elements, Int32(type), Int64(count)))
        unsafe expectOK(
          ek_convert(elements, Int32(type), &floats, Int32(EK_DTYPE_FLOAT32), Int64(count)))
        narrow.append(elements)
        wide.append(floats)
      }
      (self.narrow, self.wide) = (narrow, wide)
    }
  }

  private func tables(_ type: Int) -> Tables {
    Tables(type, [vocabulary * dim, maximum * dim, segmentCount * dim])
  }

  /// Calls `body` with options whose pointers hold that long.
  private func withOptions(
    _ segments: UnsafeRawPointer?, _ type: Int, _ output: Int,
    _ body: (UnsafePointer<ek_fused_options>) -> Void
  ) {
    let (gamma, beta) = (numbers(dim, seed: 7), numbers(dim, seed: 8))
    unsafe gamma.withUnsafeBufferPointer { gamma in
      unsafe beta.withUnsafeBufferPointer { beta in
        unsafe segmentIDs.withUnsafeBufferPointer { ids in
          var options = unsafe ek_fused_options()
          unsafe options.struct_size = MemoryLayout<ek_fused_options>.stride
          unsafe options.scale = 1.5
          unsafe options.norm = Int32(EK_NORM_LAYER)
          unsafe options.epsilon = 1e-5
          unsafe options.segments = segments
          unsafe options.segment_count = Int64(segmentCount)
          unsafe options.segment_ids = UnsafeRawPointer(ids.baseAddress)
          unsafe options.gamma = gamma.baseAddress
          unsafe options.beta = beta.baseAddress
          unsafe options.dropout_rate = 0.25
          unsafe options.dropout_seed = 3
          unsafe options.dropout_step = 5
          unsafe options.table_dtype = Int32(type)
          unsafe options.output_dtype = Int32(output)
          unsafe withUnsafePointer(to: options) { unsafe body($0) }
        }
      }
    }
  }

  private func forward<Table: BitwiseCopyable, Output: BitwiseCopyable>(
    _ tables: [[Table]], _ type: Int, _ output: Int, zero: Output
  ) -> [Output] {
    var result = [Output](repeating: zero, count: batch * context * dim)
    unsafe tables[2].withUnsafeBytes { segments in
      unsafe withOptions(segments.baseAddress, type, output) { options in
        expectOK(
          unsafe ek_embed_fused(
            ids, Int32(EK_DTYPE_INT64), Int64(batch), Int64(context), tables[0],
            Int64(vocabulary), Int64(dim), tables[1], Int64(maximum), &result, options))
      }
    }
    return result
  }

  private func backward<Table: BitwiseCopyable>(_ tables: [[Table]], _ type: Int) -> [[Float]] {
    let gradient = numbers(batch * context * dim, seed: 9)
    var rows = [Float](repeating: 0, count: gradient.count)
    var (gamma, beta) = ([Float](repeating: 0, count: dim), [Float](repeating: 0, count: dim))
    var segmentGradient = [Float](repeating: 0, count: segmentCount * dim)
    unsafe tables[2].withUnsafeBytes { segments in
      unsafe withOptions(segments.baseAddress, type, type) { options in
        expectOK(
          unsafe ek_embed_fused_backward(
            gradient, ids, Int32(EK_DTYPE_INT64), Int64(batch), Int64(context), tables[0],
            Int64(vocabulary), Int64(dim), tables[1], Int64(maximum), &rows, &gamma, &beta,
            &segmentGradient, options))
      }
    }
    return [rows, gamma, beta, segmentGradient]
  }

  @Test func forwardRoundsTheFloatsOfTheWidenedTablesOnce() {
    for type in sixteenBits {
      let tables = tables(type)
      let expected = forward(tables.wide, EK_DTYPE_FLOAT32, EK_DTYPE_FLOAT32, zero: Float(0))
      #expect(forward(tables.narrow, type, EK_DTYPE_FLOAT32, zero: Float(0)) == expected)
      for output in sixteenBits {
        var rounded = [UInt16](repeating: 0, count: expected.count)
        unsafe expectOK(
          ek_convert(
            expected, Int32(EK_DTYPE_FLOAT32), &rounded, Int32(output), Int64(expected.count)))
        #expect(forward(tables.narrow, type, output, zero: UInt16(0)) == rounded)
        #expect(forward(tables.wide, EK_DTYPE_FLOAT32, output, zero: UInt16(0)) == rounded)
      }
    }
  }

  @Test func backwardIsThatOfTheWidenedTables() {
    for type in sixteenBits {
      let tables = tables(type)
      #expect(backward(tables.narrow, type) == backward(tables.wide, EK_DTYPE_FLOAT32))
    }
  }

  @Test func typesThatAreNoneAreNamed() {
    let tables = tables(EK_DTYPE_BFLOAT16)
    var output = [Float](repeating: 9, count: batch * context * dim)
    let types = [
      (EK_DTYPE_INT32, EK_DTYPE_FLOAT32, "table_dtype"),
      (EK_DTYPE_BFLOAT16, EK_DTYPE_FLOAT64, "output_dtype"), (-1, EK_DTYPE_FLOAT32, "table_dtype"),
    ]
    for (type, written, name) in types {
      unsafe tables.narrow[2].withUnsafeBytes { segments in
        unsafe withOptions(segments.baseAddress, type, written) { options in
          let told = expectFault(
            EK_ERROR_INVALID_OPTION,
            unsafe ek_embed_fused(
              ids, Int32(EK_DTYPE_INT64), 2, 3, tables.narrow[0], Int64(vocabulary), Int64(dim),
              tables.narrow[1], 4, &output, options))
          #expect(told.argument == name)
        }
      }
    }
    #expect(output.allSatisfy { $0 == 9 })
  }
}
