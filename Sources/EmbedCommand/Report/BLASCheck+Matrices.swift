// The routines on matrices: products, squares, and the two factorisations of LAPACK, whose results are
// held to what they are made for, as their roundings are their own.

internal import CBLASCalls
internal import EmbedFactorizations
internal import EmbedKernel

enum MatrixCheck {
  /// Sides that no block divides, and some that all do.
  private static let sides = [1, 2, 3, 7, 12, 16, 17, 33, 64, 65, 100]
  /// Long shapes: with other kernels, and cut by OpenBLAS into pieces.
  private static let long = [
    (195, 192, 48), (512, 256, 128), (130, 515, 67), (641, 33, 130), (33, 770, 65), (21, 21, 1_031),
  ]

  static func products() throws(EmbedError) -> BLASCheck.Outcome {
    var shapes = long
    for m in sides {
      for n in sides { for k in sides where (m + n + k) % 2 == 0 { shapes.append((m, n, k)) } }
    }
    var draws = WholeNumbers()
    for (m, n, k) in shapes {
      let a: [Float] = draws.take(m * k)
      let b: [Float] = draws.take(k * n)
      let products = product(a, b, m, n, k)
      let stride = n + 3
      let old: [Float] = draws.take(m * stride)
      for (first, second) in [(false, false), (true, false), (false, true), (true, true)] {
        let left = Operand(a, m, k, isTransposed: first)
        let right = Operand(b, k, n, isTransposed: second)
        for beta in [Float(0), 1] {
          var (found, expected) = (old, old)
          for i in 0..<m {
            for j in 0..<n {
              // What is overwritten may be anything.
              if beta == 0 { found[i * stride + j] = .nan }
              expected[i * stride + j] =
                0.5 * products[i * n + j] + (beta == 0 ? 0 : old[i * stride + j])
            }
          }
          unsafe ek_blas_sgemm(
            first, second, Int32(m), Int32(n), Int32(k), 0.5, left.values, Int32(left.stride),
            right.values, Int32(right.stride), beta, &found, Int32(stride))
          if let fault = BLASCheck.difference(found, expected, "c") {
            return .wrong(
              "\(m) x \(n) x \(k), transposed \(first) and \(second), beta \(beta): \(fault)")
          }
        }
      }
    }
    return .right(cases: 8 * shapes.count)
  }

  /// a b, by plain loops.
  private static func product(_ a: [Float], _ b: [Float], _ m: Int, _ n: Int, _ k: Int) -> [Float] {
    var c = [Float](repeating: 0, count: m * n)
    for i in 0..<m {
      for depth in 0..<k {
        let factor = a[i * k + depth]
        for j in 0..<n { c[i * n + j] += factor * b[depth * n + j] }
      }
    }
    return c
  }

  /// A factor as it lies in memory: itself or its transpose, with a float between rows.
  private struct Operand {
    let values: [Float]
    let stride: Int

    init(_ matrix: [Float], _ rows: Int, _ columns: Int, isTransposed: Bool) {
      let (height, width) = isTransposed ? (columns, rows) : (rows, columns)
      stride = width + 1
      var values = [Float](repeating: 7, count: height * stride)
      for i in 0..<rows {
        for j in 0..<columns {
          let at = isTransposed ? j * stride + i : i * stride + j
          values[at] = matrix[i * columns + j]
        }
      }
      self.values = values
    }
  }

  /// Products with a vector, by a routine that adds half of one to `y`.
  static func vector<Value: BinaryFloatingPoint>(
    _ multiply: (
      _ isTransposed: Bool, _ rows: Int32, _ columns: Int32, _ a: [Value], _ stride: Int32,
      _ x: [Value], _ y: inout [Value]
    ) -> Void
  ) throws(EmbedError) -> BLASCheck.Outcome {
    var draws = WholeNumbers()
    var cases = 0
    for rows in sides + [64, 333] {
      for columns in sides + [128, 257, 1_029] {
        for isTransposed in [false, true] {
          let stride = columns + 2
          let a: [Value] = draws.take(rows * stride)
          let (inputs, outputs) = isTransposed ? (rows, columns) : (columns, rows)
          let x: [Value] = draws.take(inputs)
          let y: [Value] = draws.take(outputs)
          var (found, expected) = (y, y)
          for row in 0..<rows {
            for column in 0..<columns {
              let (from, to) = isTransposed ? (row, column) : (column, row)
              expected[to] += 0.5 * a[row * stride + column] * x[from]
            }
          }
          multiply(isTransposed, Int32(rows), Int32(columns), a, Int32(stride), x, &found)
          if let fault = BLASCheck.difference(found, expected, "y") {
            return .wrong("\(rows) x \(columns), transposed \(isTransposed): \(fault)")
          }
          cases += 1
        }
      }
    }
    return .right(cases: cases)
  }

  /// The lower triangle of aᵀ a; what lies above it must stay.
  static func squares() throws(EmbedError) -> BLASCheck.Outcome {
    var draws = WholeNumbers()
    var cases = 0
    for n in sides + [129, 200] {
      for k in [1, 5, 33, 512] {
        let a: [Double] = draws.take(k * n)
        let old: [Double] = draws.take(n * n)
        var (found, expected) = (old, old)
        let square = square(a, n)
        for i in 0..<n { for j in 0...i { expected[i * n + j] += 0.25 * square[i * n + j] } }
        unsafe ek_blas_dsyrk_lower(Int32(n), Int32(k), 0.25, a, Int32(n), 1, &found, Int32(n))
        if let fault = BLASCheck.difference(found, expected, "c") {
          return .wrong("\(n) x \(k): \(fault)")
        }
        cases += 1
      }
    }
    return .right(cases: cases)
  }

  /// aᵀ a for an `a` of `n` columns.
  static func square(_ a: [Double], _ n: Int) -> [Double] {
    var square = [Double](repeating: 0, count: n * n)
    for row in 0..<a.count / n {
      for i in 0..<n {
        for j in 0...i { square[i * n + j] += a[row * n + i] * a[row * n + j] }
      }
    }
    for i in 0..<n { for j in 0..<i { square[j * n + i] = square[i * n + j] } }
    return square
  }
}

enum FactorCheck {
  private static let sizes = [1, 2, 3, 7, 16, 33, 65, 130]

  /// A = P L Lᵀ Pᵀ for a matrix of full rank, and for one of half of it.
  static func cholesky() throws(EmbedError) -> BLASCheck.Outcome {
    var draws = WholeNumbers()
    for n in sizes {
      for depth in [2 * n, max(1, n / 2)] {
        let a: [Double] = draws.take(depth * n)
        let matrix = MatrixCheck.square(a, n)
        var factor = matrix
        var pivots = [Int32](repeating: 0, count: n)
        var rank: Int32 = 0
        let info = unsafe ek_lapack_dpstrf_lower(
          Int32(n), &factor, Int32(n), &pivots, &rank, -1)
        guard info >= 0, pivots.allSatisfy({ 1...Int32(n) ~= $0 }), Set(pivots).count == n,
          0...Int32(n) ~= rank
        else { return .wrong("\(n) x \(n): info \(info), rank \(rank), pivots \(pivots)") }
        let bound = 64 * Double(n) * Double.ulpOfOne * (matrix.map { abs($0) }.max() ?? 0)
        for i in 0..<n {
          for j in 0...i {
            var sum = 0.0
            for k in 0..<min(j + 1, Int(rank)) { sum += factor[i * n + k] * factor[j * n + k] }
            let right = matrix[(Int(pivots[i]) - 1) * n + Int(pivots[j]) - 1]
            guard abs(sum - right) <= bound else {
              return .wrong("\(n) x \(n): the factor gives \(sum) at [\(i), \(j)], not \(right)")
            }
          }
        }
      }
    }
    return .right(cases: 2 * sizes.count)
  }

  /// The sums of the singular values' squares and fourth powers are those of A and of Aᵀ A.
  static func singularValues() throws(EmbedError) -> BLASCheck.Outcome {
    var draws = WholeNumbers()
    var cases = 0
    for m in sizes {
      for n in [1, 2, 5, 33, 100, 400] {
        let a: [Double] = draws.take(m * n)
        var copy = a
        var values = [Double](repeating: .nan, count: min(m, n))
        let info = unsafe ek_lapack_dgesdd_values(Int32(m), Int32(n), &copy, Int32(m), &values)
        let squares = a.reduce(0) { $0 + $1 * $1 }
        let fourths = MatrixCheck.square(a, m).reduce(0) { $0 + $1 * $1 }
        let found = (
          values.reduce(0) { $0 + $1 * $1 }, values.reduce(0) { $0 + $1 * $1 * $1 * $1 }
        )
        let bound = 256 * Double(max(m, n)) * Double.ulpOfOne
        guard info == 0, zip(values, values.dropFirst()).allSatisfy({ $0 >= $1 }),
          (values.last ?? 0) >= 0, abs(found.0 - squares) <= bound * squares,
          abs(found.1 - fourths) <= bound * fourths
        else {
          return .wrong(
            "\(m) x \(n): info \(info), squares sum to \(found.0), not \(squares); fourth powers to "
              + "\(found.1), not \(fourths)")
        }
        cases += 1
      }
    }
    return .right(cases: cases)
  }
}
