// Sums of gathered rows of the OpenBLAS backend: `cblas_saxpy` a row, and where rows are evenly
// spaced, as the sequences of a batch are, one `cblas_sgemv` with ones.
//
// Bytes: a row read for each row summed, and the block of the sum read and written with each, in L1.
// Calls stay below the sizes at which OpenBLAS wakes its threads.
//
// saxpy by 1 adds with one rounding, so sums by saxpy have the bits of the other backends. sgemv adds
// in an order of its own: its sum of n rows differs by at most 2 (n - 1) u S, u = 2^-24, S the sum of
// absolute values. Trees, compensated sums and sums of products are not BLAS's but C's.

internal import CBLASCalls
internal import CKernels

extension OpenBLASKernels {
  static func sum(_ sum: inout ek_row_sum, _ plan: Plan) {
    if sum.leaf == ek_row_sum.leftToRight, !sum.compensated, unsafe sum.factors == nil {
      addUp(sum)
    } else {
      NativeKernels.sum(&sum, plan)
    }
  }

  private static func addUp(_ sum: ek_row_sum) {
    let isRegular = sum.index_step > 0 && sum.count > 1 && sum.count <= mostRows
    let spacing = sum.index_step.multipliedReportingOverflow(by: sum.stride)
    if isRegular, !spacing.overflow, let spacing = Int32(exactly: spacing.partialValue) {
      multiplyByOnes(sum, spacing)
    } else if sum.count == 1, !sum.accumulate || sum.factor == 1 {
      unsafe writeRow(sum, sum.row(0), sum.output, sum.factor, sum.accumulate)
    } else {
      addRows(sum)
    }
    pass(sum)
  }

  /// output (+)= factor * rowsᵀ 1, some columns a call.
  private static func multiplyByOnes(_ sum: ek_row_sum, _ spacing: Int32) {
    let columns = max(1, mostElements / sum.count)
    let first = unsafe sum.row(0)
    for start in stride(from: 0, to: sum.width, by: columns) {
      let count = min(columns, sum.width - start)
      unsafe ones.withUnsafePointer {
        unsafe ek_blas_sgemv(
          true, Int32(sum.count), Int32(count), sum.factor, first + start, spacing, $0, 1,
          sum.accumulate ? 1 : 0, sum.output + start, 1)
      }
    }
  }

  /// Sums a block of columns at a time beside the output, by saxpy, then scales and writes it.
  private static func addRows(_ sum: ek_row_sum) {
    var block = InlineArray<1_024, Float>(repeating: 0)
    var span = block.mutableSpan
    unsafe span.withUnsafeMutableBufferPointer { block in
      let total = unsafe block.baseAddress.unsafelyUnwrapped
      for start in stride(from: 0, to: sum.width, by: block.count) {
        let count = min(block.count, sum.width - start)
        unsafe total.update(from: sum.row(0) + start, count: count)
        for i in 1..<max(1, sum.count) {
          unsafe ek_blas_saxpy(Int32(count), 1, sum.row(i) + start, 1, total, 1)
        }
        unsafe scale(total, by: sum.factor, count: count)
        let output = unsafe sum.output + start
        if sum.accumulate {
          unsafe ek_blas_saxpy(Int32(count), 1, total, 1, output, 1)
        } else {
          unsafe output.update(from: total, count: count)
        }
      }
    }
  }

  private static func pass(_ sum: ek_row_sum) {
    guard let destinations = unsafe sum.destinations, let passed = unsafe sum.passed else { return }
    for i in 0..<sum.count {
      let destination = unsafe Int(destinations[sum.index(i)])
      guard destination >= 0 else { continue }
      let to = unsafe passed + destination * sum.stride
      if sum.pass_accumulate, sum.pass_factor != 1 {
        var alone = sum
        unsafe alone.rows = sum.row(i)
        unsafe alone.indices = nil
        unsafe alone.destinations = nil
        unsafe alone.output = to
        (alone.count, alone.factor, alone.accumulate) = (1, sum.pass_factor, true)
        addRows(alone)
      } else {
        unsafe writeRow(sum, sum.row(i), to, sum.pass_factor, sum.pass_accumulate)
      }
    }
  }

  /// output = factor * row, or output += row, in calls below OpenBLAS's threading.
  private static func writeRow(
    _ sum: ek_row_sum, _ row: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>,
    _ factor: Float, _ accumulates: Bool
  ) {
    guard accumulates else {
      unsafe output.update(from: row, count: sum.width)
      return unsafe scale(output, by: factor, count: sum.width)
    }
    for start in stride(from: 0, to: sum.width, by: mostElements) {
      let count = min(mostElements, sum.width - start)
      unsafe ek_blas_saxpy(Int32(count), 1, row + start, 1, output + start, 1)
    }
  }
}

/// A vector of ones for the longest run of rows.
@safe private struct Ones: @unchecked Sendable {
  private let memory: UnsafeMutablePointer<Float>

  init() {
    unsafe memory = .allocate(capacity: mostRows)
    unsafe memory.initialize(repeating: 1, count: mostRows)
  }

  func withUnsafePointer(_ body: (UnsafePointer<Float>) -> Void) { unsafe body(memory) }
}

private let ones = Ones()
private let mostRows = 64
/// OpenBLAS splits gemv from 9216 elements on, axpy from 10000.
private let mostElements = 8_192
