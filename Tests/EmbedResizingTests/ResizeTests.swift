// Tables that grow and shrink, with the state of their optimisers.

import EmbedKernel
import EmbedResizing
import TestSupport
import Testing

@Suite struct ResizeTests {
  private func table(_ rows: Int, _ dim: Int, _ value: (Double, Int) -> Double) throws
    -> EmbeddingTable<Float>
  {
    let table = try EmbeddingTable<Float>(rows: rows, dim: dim)
    table.withMutableSpan { elements in
      for n in 0..<rows * dim { elements[n] = Float(value(Double(n / dim), n % dim)) }
    }
    return table
  }

  /// Lines up to the ends, and quadratics away from them, are reproduced; rows at old places too.
  @Test(arguments: [(9, 17), (9, 40), (33, 12), (2, 5)])
  func cubicIsExactOnLinesAndQuadratics(rows: Int, newRows: Int) throws {
    let old = try table(rows, 3) { place, i in
      [3 * place - 7, 0.5 * place * place - place, 2][i]
    }
    let new = try old.interpolated(rows: newRows, by: .cubic)
    for row in 0..<newRows {
      let place = Double(row) * Double(rows - 1) / Double(newRows - 1)
      let values = new[row]
      #expect(abs(Double(values[0]) - (3 * place - 7)) < 1e-5 * Double(rows))
      #expect(values[2] == 2)
      if place >= 1, place <= Double(rows - 2) {
        let exact = 0.5 * place * place - place
        #expect(abs(Double(values[1]) - exact) < 1e-6 * (1 + exact))
      }
    }
    let (first, last, oldFirst, oldLast) = (new[0], new[newRows - 1], old[0], old[rows - 1])
    for i in 0..<3 {
      #expect(first[i] == oldFirst[i])
      #expect(last[i] == oldLast[i])
    }
  }

  /// Keys' kernel, evaluated from its definition as a sum over four rows.
  @Test func cubicIsKeysConvolution() throws {
    var random = SeededGenerator(seed: 7)
    let values = random.floats(20)
    let old = try EmbeddingTable<Float>(rows: 20, dim: 1, copying: values.span)
    let new = try old.interpolated(rows: 58, by: .cubic)
    func kernel(_ x: Double) -> Double {
      let s = abs(x)
      if s <= 1 { return 1.5 * s * s * s - 2.5 * s * s + 1 }
      return s < 2 ? -0.5 * s * s * s + 2.5 * s * s - 4 * s + 2 : 0
    }
    for row in 0..<58 {
      let place = Double(row) * 19 / 57
      guard place >= 1, place <= 18 else { continue }
      let sum = (0..<20).reduce(0.0) { $0 + Double(values[$1]) * kernel(place - Double($1)) }
      let actual = new[row]
      // Both are computed in Double; the result is rounded to a Float once.
      #expect(abs(Double(actual[0]) - sum) <= Double(Float(sum).ulp))
    }
  }

  @Test func cubicOfFewRows() throws {
    let one = try table(1, 2) { _, i in Double(i) + 1 }
    let three = try one.interpolated(rows: 3, by: .cubic)
    let last = three[2]
    #expect(last[0] == 1 && last[1] == 2)
    #expect(throws: EmbedError.self) { try one.interpolated(rows: 0, by: .cubic) }
  }

  @Test func stateOfAVocabularyKeepsOldRowsAndStartsNewOnesAtZero() throws {
    let elements = (1...12).map { Float($0) }
    let grown = try OptimizerState.resized(elements.span, rows: 4, to: 6, as: .vocabulary)
    #expect(grown.elements == elements + [0, 0, 0, 0, 0, 0])
    let cut = try OptimizerState.resized(elements.span, rows: 4, to: 2, as: .vocabulary)
    #expect(cut.elements == [1, 2, 3, 4, 5, 6])
    let perRow = try OptimizerState.resized(
      elements.span.extracting(first: 4), rows: 4, to: 5, as: .vocabulary)
    #expect(perRow.elements == [1, 2, 3, 4, 0])
  }

  @Test func stateOfPositionsIsInterpolatedAndStaysPositive() throws {
    // Second moments with a spike, where a cubic would fall below zero beside it.
    let moments: [Float] = [0, 0, 1, 0, 0]
    let grown = try OptimizerState.resized(moments.span, rows: 5, to: 17, as: .positions)
    #expect(grown.elements.allSatisfy { $0 >= 0 })
    #expect(grown.elements[8] == 1 && grown.elements[6] == 0.5 && grown.elements[0] == 0)
    let spike = try EmbeddingTable<Float>(rows: 5, dim: 1, copying: moments.span)
    let cubic = try spike.interpolated(rows: 17, by: .cubic)
    let dips = (0..<17).contains { row in
      let value = cubic[row]
      return value[0] < 0
    }
    #expect(dips)
  }

  @Test func stateOfAnotherShapeIsRefused() throws {
    let elements: [Float] = [1, 2, 3, 4, 5]
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "state", expected: 4, shape: [2, 2], actual: 5)
    ) { _ = try OptimizerState.resized(elements.span, rows: 2, to: 3, as: .vocabulary) }
    #expect(
      throws: EmbedError.invalidSize(argument: "new rows", value: 0, expected: "1 or more")
    ) { _ = try OptimizerState.resized(elements.span, rows: 5, to: 0, as: .positions) }
    #expect(throws: EmbedError.self) {
      _ = try OptimizerState.resized(elements.span, rows: 6, to: 7, as: .positions)
    }
  }

  /// The padding row takes no part in the moments: were it counted, its zeros would pull the mean.
  @Test func thePaddingRowIsNoPartOfTheMoments() throws {
    let dim = 4
    let rows = try table(50, dim) { _, i in Double(i) + 10 }
    let layer = try TokenEmbedding(table: rows, paddingID: 7)
    layer.clearPaddingRow()
    for newRows in [NewRows.mean, .meanAndCovariance(scale: 1)] {
      let grown = try layer.resized(vocabulary: 53, newRows: newRows, seed: 3)
      let all = unsafe Array(grown.table.unsafeBuffer)
      for i in 0..<dim {
        // All other rows are alike, so their covariance is zero.
        for row in 50..<53 { #expect(abs(all[row * dim + i] - Float(i + 10)) < 1e-5) }
        #expect(all[7 * dim + i] == 0)
      }
    }
  }
}
