// Whether OpenBLAS computes right on this CPU: each routine in use against plain loops, over shapes
// that are no multiple of any kernel's block. Releases older than a CPU have been seen to take kernels
// that crash on it or sum wrongly.
//
// Elements are small whole numbers and factors are powers of two, so that every product and sum is
// exact in whatever order it is made: results must be equal, and no tolerance hides a fault.

internal import CBLASCalls
internal import EmbedKernel

/// A check of one routine.
package struct BLASCheck: Sendable {
  /// The routine's name, such as `sgemm`.
  package let routine: String
  /// Tries every shape; what was tried, or the first that came out wrong.
  let run: @Sendable () throws(EmbedError) -> Outcome

  enum Outcome: Equatable, Sendable {
    case right(cases: Int)
    case wrong(String)
  }

  /// All routines that this library calls. They run on the threads that OpenBLAS is set to.
  package static let all = [
    BLASCheck(routine: "sscal") { () throws(EmbedError) in try vectors(.scale) },
    BLASCheck(routine: "saxpy") { () throws(EmbedError) in try vectors(.add) },
    BLASCheck(routine: "srot") { () throws(EmbedError) in try vectors(.rotate) },
    BLASCheck(routine: "sgemv") { () throws(EmbedError) in
      try MatrixCheck.vector { (isTransposed, m, n, a: [Float], stride, x, y) in
        unsafe ek_blas_sgemv(isTransposed, m, n, 0.5, a, stride, x, 1, 1, &y, 1)
      }
    },
    BLASCheck(routine: "dgemv") { () throws(EmbedError) in
      try MatrixCheck.vector { (isTransposed, m, n, a: [Double], stride, x, y) in
        unsafe ek_blas_dgemv(isTransposed, m, n, 0.5, a, stride, x, 1, 1, &y, 1)
      }
    },
    BLASCheck(routine: "sgemm") { () throws(EmbedError) in try MatrixCheck.products() },
    BLASCheck(routine: "dsyrk") { () throws(EmbedError) in try MatrixCheck.squares() },
    BLASCheck(routine: "dpstrf") { () throws(EmbedError) in try FactorCheck.cholesky() },
    BLASCheck(routine: "dgesdd") { () throws(EmbedError) in try FactorCheck.singularValues() },
  ]

  // MARK: Vectors

  private enum VectorRoutine { case scale, add, rotate }

  private static func vectors(_ routine: VectorRoutine) throws(EmbedError) -> Outcome {
    var draws = WholeNumbers()
    var cases = 0
    for count in [1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 63, 65, 127, 129, 1_000, 8_191, 20_011] {
      for (xStride, yStride) in [(1, 1), (2, 3), (64, 64)] where count * xStride <= 1 << 20 {
        let x: [Float] = draws.take(count * xStride)
        let y: [Float] = draws.take(count * yStride)
        var (foundX, foundY, expectedX, expectedY) = (x, y, x, y)
        for i in 0..<count {
          let (a, b) = (x[i * xStride], y[i * yStride])
          switch routine {
          case .scale: expectedX[i * xStride] = 0.5 * a
          case .add: expectedY[i * yStride] = b - 2 * a
          case .rotate:
            expectedX[i * xStride] = 0.5 * a + 0.25 * b
            expectedY[i * yStride] = 0.5 * b - 0.25 * a
          }
        }
        let (n, sx, sy) = (Int32(count), Int32(xStride), Int32(yStride))
        unsafe foundX.withUnsafeMutableBufferPointer { x in
          unsafe foundY.withUnsafeMutableBufferPointer { y in
            guard let x = x.baseAddress, let y = y.baseAddress else { return }
            switch routine {
            case .scale: unsafe ek_blas_sscal(n, 0.5, x, sx)
            case .add: unsafe ek_blas_saxpy(n, -2, x, sx, y, sy)
            case .rotate: unsafe ek_blas_srot(n, x, sx, y, sy, 0.5, 0.25)
            }
          }
        }
        let fault =
          difference(foundX, expectedX, "x") ?? difference(foundY, expectedY, "y")
        if let fault { return .wrong("\(count) elements by \(xStride) and \(yStride): \(fault)") }
        cases += 1
      }
    }
    return .right(cases: cases)
  }

  /// The first element that isn't the right one; one that is not a number never is.
  static func difference<Value: BinaryFloatingPoint>(
    _ found: [Value], _ expected: [Value], _ name: String
  ) -> String? {
    guard let i = found.indices.first(where: { !(found[$0] == expected[$0]) }) else { return nil }
    return "\(name)[\(i)] is \(found[i]), not \(expected[i])"
  }
}

/// Whole numbers from -4 to 4, always the same ones.
struct WholeNumbers {
  private var state: UInt64 = 0x9E37_79B9_7F4A_7C15

  mutating func take<Value: BinaryFloatingPoint>(_ count: Int) -> [Value] {
    var values = [Value](repeating: 0, count: count)
    for i in values.indices {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      values[i] = Value(Int(state >> 33) % 9 - 4)
    }
    return values
  }
}
