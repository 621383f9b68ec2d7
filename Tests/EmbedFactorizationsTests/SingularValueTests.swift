// Singular values of tables whose spectra are known.

import EmbedFactorizations
import EmbedKernel
import Testing

@Suite struct SingularValueTests {
  private func table(_ rows: Int, _ dim: Int, _ value: (Int, Int) -> Float) throws
    -> EmbeddingTable<Float>
  {
    let elements = (0..<rows * dim).map { value($0 / dim, $0 % dim) }
    return try EmbeddingTable<Float>(rows: rows, dim: dim, copying: elements.span)
  }

  private func expect(_ found: [Double], _ expected: [Double], within bound: Double = 1e-12) {
    #expect(found.count == expected.count)
    for (index, (a, b)) in zip(found, expected).enumerated() {
      #expect(abs(a - b) <= bound * max(1, expected[0]), "value \(index): \(a) instead of \(b)")
    }
  }

  @Test(arguments: [(5, 3), (3, 5), (4, 4), (1, 1), (1, 7), (7, 1)])
  func aDiagonalHasItsAbsoluteValues(rows: Int, dim: Int) throws {
    let diagonal: [Float] = [-2, 0.5, 8, 0]
    let found = try table(rows, dim) { $0 == $1 ? diagonal[$0] : 0 }.singularValues()
    expect(found, diagonal.prefix(min(rows, dim)).map { Double(abs($0)) }.sorted(by: >))
  }

  /// Of a column times a row, all but one value are zero, and that one is the product of their norms.
  @Test(arguments: [(6, 4), (4, 6), (64, 128)])
  func aProductOfVectorsHasOneValue(rows: Int, dim: Int) throws {
    let found = try table(rows, dim) { Float(($0 + 1) * (2 - $1)) }.singularValues()
    func norm(_ values: [Int]) -> Double {
      Double(values.reduce(0) { $0 + $1 * $1 }).squareRoot()
    }
    let largest = norm((0..<rows).map { $0 + 1 }) * norm((0..<dim).map { 2 - $0 })
    expect(found, [largest] + [Double](repeating: 0, count: min(rows, dim) - 1))
  }

  /// Hadamard's matrix is orthogonal but for a factor: all its values are that factor.
  @Test(arguments: [2, 16, 64]) func anOrthogonalTableIsFlat(size: Int) throws {
    let found = try table(size, size) { ($0 & $1).nonzeroBitCount.isMultiple(of: 2) ? 0.25 : -0.25 }
      .singularValues()
    expect(found, [Double](repeating: 0.25 * Double(size).squareRoot(), count: size))
  }

  /// Squares sum to those of the elements, and fall from the first to the last.
  @Test(arguments: [(64, 128), (300, 7), (33, 32)])
  func theirSquaresSumToTheElements(rows: Int, dim: Int) throws {
    let drawn = try EmbeddingTable<Float>(rows: rows, dim: dim, .normal(sigma: 1), seed: 11)
    let found = try drawn.singularValues()
    let span = drawn.span
    let squares = span.indices.reduce(0.0) { $0 + Double(span[$1]) * Double(span[$1]) }
    #expect(abs(found.reduce(0) { $0 + $1 * $1 } - squares) <= 1e-12 * squares)
    #expect(zip(found, found.dropFirst()).allSatisfy { $0 >= $1 })
    #expect(try drawn.singularValues() == found)
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func whatIsNotFiniteIsNamed(_ value: Float) throws {
    let broken = try table(3, 4) { $0 == 1 && $1 == 2 ? value : 1 }
    let error = #expect(throws: EmbedError.self) { try broken.singularValues() }
    guard case .invalidValue(let argument, _, _) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(argument == "element [1, 2]")
  }
}
