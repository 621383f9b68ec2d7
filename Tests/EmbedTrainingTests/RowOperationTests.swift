// Each row operation of each instruction set against plain loops in Double, with bounds from counting
// roundings; nothing is written outside the rows.

import CKernels
import Foundation
import ReferenceKernels
import Testing

@Suite struct RowOperationTests {
  static let lengths = [1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 255, 1000, 50257]

  // MARK: Normalisation

  /// Mean and deviation are sums; then four roundings an element, and those of the mean times what
  /// the row is multiplied by.
  @Test(arguments: RowSet.available, lengths) func layerNorm(set: RowSet, dim: Int) {
    let rows = 3
    let x = rowSamples(rows * dim, seed: 1, in: -1...4), gamma = rowSamples(dim, seed: 2)
    let beta = rowSamples(dim, seed: 3)
    let input = GuardedFloats(x), gain = GuardedFloats(gamma), bias = GuardedFloats(beta)
    let output = GuardedFloats(zeros: rows * dim)
    let mean = GuardedFloats(zeros: rows), rstd = GuardedFloats(zeros: rows)
    unsafe set.operations.layer_norm(
      input.pointer, gain.pointer, bias.pointer, output.pointer, mean.pointer, rstd.pointer, rows,
      dim, 1e-5)
    #expect(output.guardsHold && mean.guardsHold && rstd.guardsHold)

    let k = sumRoundings(dim)
    for r in 0..<rows {
      let row = Array(x[r * dim..<(r + 1) * dim]).doubles
      let expected = Reference.layerNorm(
        row, gamma: gamma.doubles, beta: beta.doubles, epsilon: Double(Float(1e-5)))
      let meanBound = k * rounding * row.meanMagnitude
      #expect(abs(Double(mean.values[r]) - expected.mean) <= meanBound)
      // The square of the mean's error adds to the variance.
      let ofDeviation = (k + 4) * rounding + meanBound * meanBound * expected.rstd * expected.rstd
      #expect(abs(Double(rstd.values[r]) / expected.rstd - 1) <= ofDeviation)
      let failure = firstBeyond(
        Array(output.values[r * dim..<(r + 1) * dim]), expected.output
      ) { i in
        let normal = (row[i] - expected.mean) * expected.rstd
        let ofNormal = meanBound * expected.rstd + abs(normal) * (ofDeviation + 4 * rounding)
        return abs(Double(gamma[i])) * ofNormal + abs(Double(beta[i])) * rounding
      }
      #expect(failure == nil)
    }
  }

  @Test(arguments: RowSet.available, lengths) func layerNormBackward(set: RowSet, dim: Int) {
    let rows = 3
    let x = rowSamples(rows * dim, seed: 4, in: -1...4), gamma = rowSamples(dim, seed: 5)
    let gradient = rowSamples(rows * dim, seed: 6), start = rowSamples(rows * dim, seed: 7)
    let zeros = [Double](repeating: 0, count: dim)
    let slices = (0..<rows).map { $0 * dim..<($0 + 1) * dim }
    let norms = slices.map {
      Reference.layerNorm(x[$0].map(Double.init), gamma: zeros, beta: zeros, epsilon: 1e-5)
    }
    let input = GuardedFloats(x), gain = GuardedFloats(gamma), upper = GuardedFloats(gradient)
    let mean = GuardedFloats(norms.map { Float($0.mean) })
    let rstd = GuardedFloats(norms.map { Float($0.rstd) })
    let inputGradient = GuardedFloats(start)
    let gammaGradient = GuardedFloats([Float](repeating: 1, count: dim))
    let betaGradient = GuardedFloats([Float](repeating: 2, count: dim))
    unsafe set.operations.layer_norm_backward(
      upper.pointer, input.pointer, gain.pointer, mean.pointer, rstd.pointer, inputGradient.pointer,
      gammaGradient.pointer, betaGradient.pointer, rows, dim)
    #expect(inputGradient.guardsHold && gammaGradient.guardsHold && betaGradient.guardsHold)

    let k = sumRoundings(dim)
    var gammaSums = [Double](repeating: 1, count: dim), gammaBounds = zeros
    var betaSums = [Double](repeating: 2, count: dim), betaBounds = zeros
    for (slice, norm) in zip(slices, norms) {
      let row = x[slice].map(Double.init), upper = gradient[slice].map(Double.init)
      // Mean and deviation are rounded to floats: what that does to the normalised row.
      let normal = row.map { ($0 - norm.mean) * norm.rstd }
      let ofNormal = normal.map { rounding * (norm.rstd * abs(norm.mean) + 3 * abs($0)) }
      let scaled = row.indices.map { upper[$0] * Double(gamma[$0]) }
      let products = row.indices.map { scaled[$0] * normal[$0] }
      let ofShare =
        (k + 2) * rounding * products.meanMagnitude
        + row.indices.map { scaled[$0] * ofNormal[$0] }.meanMagnitude
      let ofShift = (k + 4) * rounding * scaled.meanMagnitude
      let share = products.reduce(0, +) / Double(dim)
      let slopes = Reference.layerNormBackward(
        upper, x: row, gamma: gamma.doubles, mean: norm.mean, rstd: norm.rstd)
      let old = start[slice].map(Double.init)
      let failure = firstBeyond(
        Array(inputGradient.values[slice]), row.indices.map { old[$0] + slopes[$0] }
      ) { i in
        let sum =
          4 * rounding * (abs(scaled[i]) + abs(normal[i] * share))
          + ofShift
          + abs(share) * ofNormal[i] + abs(normal[i]) * ofShare
        return norm.rstd * sum + 2 * rounding * (abs(old[i]) + abs(slopes[i]))
      }
      #expect(failure == nil)
      for i in row.indices {
        gammaSums[i] += upper[i] * normal[i]
        betaSums[i] += upper[i]
        gammaBounds[i] +=
          abs(upper[i]) * ofNormal[i] + 4 * rounding * (1 + abs(upper[i] * normal[i]))
        betaBounds[i] += 4 * rounding * (2 + abs(upper[i]))
      }
    }
    #expect(firstBeyond(gammaGradient.values, gammaSums) { gammaBounds[$0] } == nil)
    #expect(firstBeyond(betaGradient.values, betaSums) { betaBounds[$0] } == nil)
  }

  // MARK: GELU

  /// The loops in Double add 1 to a hyperbolic tangent near -1.
  private let ofTanh = 0x1p-51

  /// e^-2u has the roundings of u times 2u; where it is small beside 1 they do not matter.
  @Test(arguments: RowSet.available, lengths) func gelu(set: RowSet, count: Int) {
    let x = rowSamples(count, seed: 8, in: -12...12)
    let input = GuardedFloats(x), output = GuardedFloats(zeros: count)
    unsafe set.operations.gelu(input.pointer, output.pointer, count)
    #expect(output.guardsHold && input.values == x)
    let failure = firstBeyond(output.values, x.doubles.map(Reference.gelu)) { i in
      let v = Double(x[i]), power = 2 * abs(Reference.geluArgument(v))
      return abs(Reference.gelu(v)) * rounding * (6 + 4 * power * (v < 0 ? 1 : exp(-power)))
        + abs(v) * ofTanh
    }
    #expect(failure == nil)
  }

  @Test(arguments: RowSet.available, lengths) func geluBackward(set: RowSet, count: Int) {
    let x = rowSamples(count, seed: 9, in: -12...12), gradient = rowSamples(count, seed: 10)
    let input = GuardedFloats(x), slopes = GuardedFloats(gradient)
    unsafe set.operations.gelu_backward(input.pointer, slopes.pointer, count)
    #expect(slopes.guardsHold)
    let expected = (0..<count).map { Double(gradient[$0]) * Reference.geluSlope(Double(x[$0])) }
    let failure = firstBeyond(slopes.values, expected) { i in
      let v = Double(x[i]), power = 2 * abs(Reference.geluArgument(v))
      // The two terms of the slope, which may cancel.
      let s = 1 / (1 + exp(-2 * Reference.geluArgument(v)))
      let terms = s + abs(Reference.geluSlope(v) - s)
      return abs(Double(gradient[i]))
        * (terms * rounding * (10 + 4 * power) + (1 + abs(v * v * v)) * ofTanh)
    }
    #expect(failure == nil)
  }

  // MARK: Softmax

  /// The relative error of e^(x - most) / sum: each power has the roundings of its argument times the
  /// argument, the sum those of its powers.
  private func softmaxRoundings(_ row: [Double], _ p: [Double]) -> (Int) -> Double {
    let most = row.max() ?? 0
    let spread = row.indices.reduce(0) { p[$1] > 0 ? $0 + p[$1] * (most - row[$1]) : $0 }
    let ofSum = 4 + 3 * spread + sumRoundings(row.count)
    return { i in p[i] > 0 ? 6 + 3 * (most - row[i]) + ofSum : 0 }
  }

  /// A row of a tile, of which `visible` columns are seen.
  private func tile(
    _ logits: GuardedFloats, from start: Int = 0, _ count: Int, visible: Int,
    most: GuardedFloats, sums: GuardedFloats
  ) -> ek_attention_tile {
    unsafe ek_attention_tile(
      logits: logits.pointer + start, gradient: nil, stride: count, rows: 1, columns: count,
      visible: visible, most: most.pointer, sums: sums.pointer, means: nil, output: nil,
      output_stride: 0, dim: 0, is_first: start == 0)
  }

  /// Powers tile by tile, whose sums shrink where a later tile has a larger logit; then probabilities
  /// and their gradient from what is kept.
  @Test(arguments: RowSet.available, lengths) func softmaxOfTiles(set: RowSet, count: Int) {
    for (visible, parts) in [(1, 1), (count / 2, 2), (count - 1, 3), (count, 7)] where visible > 0 {
      var logits = rowSamples(count, seed: 11, in: -40...60)
      for i in stride(from: 1, to: visible, by: 5) { logits[i] = -.infinity }
      for i in visible..<count { logits[i] = .nan }
      let row = GuardedFloats(logits), again = GuardedFloats(logits)
      let most = GuardedFloats(zeros: 1), sums = GuardedFloats(zeros: 1)
      let output = GuardedFloats([1])
      for part in 0..<parts {
        let start = part * count / parts, size = (part + 1) * count / parts - start
        guard size > 0 else { continue }
        var next = unsafe tile(
          row, from: start, size, visible: visible - start, most: most, sums: sums)
        unsafe next.output = output.pointer
        unsafe next.dim = 1
        unsafe next.output_stride = 1
        unsafe set.operations.attention_powers(&next)
      }
      #expect(row.guardsHold && most.guardsHold && sums.guardsHold && output.guardsHold)
      let powers = row.values
      #expect((0..<visible).allSatisfy { logits[$0] > -.infinity || powers[$0] == 0 })
      #expect(powers[visible...].allSatisfy { $0 == 0 })
      let seen = Array(logits[..<visible]).doubles
      #expect(Double(most.values[0]) == seen.max())
      // The output began as 1 and shrank as the powers of the first tile did.
      let first = seen.prefix(max(1, count / parts)).max() ?? 0, change = (seen.max() ?? 0) - first
      if first > -.infinity {
        let expected = exp(-change)
        #expect(
          abs(Double(output.values[0]) - expected)
            <= expected * rounding * Double(parts) * (8 + 3 * change) + 1e-37)
      }

      var whole = unsafe tile(again, count, visible: visible, most: most, sums: sums)
      unsafe set.operations.attention_finish(&whole)
      let upper = rowSamples(visible, seed: 13)
      let gradient = GuardedFloats(upper + [Float](repeating: .nan, count: count - visible))
      let expected = Reference.softmax(seen)
      let mean = Float((0..<visible).reduce(0) { $0 + expected[$1] * Double(upper[$1]) })
      let means = GuardedFloats([mean])
      unsafe whole.gradient = gradient.pointer
      unsafe whole.means = means.pointer
      unsafe set.operations.attention_gradient(&whole)
      #expect(again.guardsHold && gradient.guardsHold)
      let spread = (seen.max() ?? 0) - (seen.filter { $0 > -.infinity }.min() ?? 0)
      let roundings = softmaxRoundings(seen, expected)
      let shrinking = Double(parts) * (8 + 3 * (first > -.infinity ? change : spread))
      let failure = firstBeyond(again.values, expected) {
        expected[$0] * rounding * (roundings($0) + shrinking)
          + Double(Float.leastNormalMagnitude) * 2
      }
      #expect(failure == nil, "\(visible) in \(parts)")
      #expect(again.values[visible...].allSatisfy { $0 == 0 })
      let written = again.values
      let slopes = (0..<visible).map {
        written[$0] == 1 ? 0 : Double(written[$0]) * (Double(upper[$0]) - Double(mean))
      }
      let off = firstBeyond(gradient.values, slopes) { 2 * rounding * abs(slopes[$0]) + 1e-37 }
      #expect(off == nil)
      #expect(gradient.values[visible...].allSatisfy { $0 == 0 })
    }
  }

  /// Rows of which a first tile holds nothing but minus infinity begin with the next.
  @Test(arguments: RowSet.available) func hiddenTilesLeaveNothing(set: RowSet) {
    let row = GuardedFloats([-.infinity, -.infinity, 0, 0])
    let most = GuardedFloats(zeros: 1), sums = GuardedFloats(zeros: 1)
    for start in [0, 2] {
      var next = unsafe tile(row, from: start, 2, visible: .max, most: most, sums: sums)
      unsafe set.operations.attention_powers(&next)
    }
    #expect(row.values == [0, 0, 1, 1])
    #expect(most.values == [0] && sums.values == [2])
  }

  @Test(arguments: RowSet.available, lengths) func productsOfARow(set: RowSet, dim: Int) {
    let rows = 11, operations = set.operations
    let x = rowSamples(rows, seed: 30), y = rowSamples(rows * dim, seed: 31)
    let weights = GuardedFloats(x), table = GuardedFloats(y), sums = GuardedFloats(Array(y[..<dim]))
    unsafe operations.add_product(weights.pointer, table.pointer, dim, sums.pointer, rows, dim)
    #expect(sums.guardsHold)
    let terms = (0..<dim).map { i in
      [Double(y[i])] + (0..<rows).map { Double(x[$0]) * Double(y[$0 * dim + i]) }
    }
    let failure = firstBeyond(sums.values, terms.map { $0.reduce(0, +) }) {
      Double(2 * rows) * rounding * terms[$0].reduce(0) { $0 + abs($1) }
    }
    #expect(failure == nil)

    let dots = GuardedFloats(zeros: rows)
    unsafe operations.dot_rows(table.pointer, 0, table.pointer, dim, dots.pointer, rows, dim)
    #expect(dots.guardsHold)
    let products = (0..<rows).map { r in
      (0..<dim).map { Double(y[$0]) * Double(y[r * dim + $0]) }
    }
    let off = firstBeyond(dots.values, products.map { $0.reduce(0, +) }) {
      (sumRoundings(dim) + 2) * rounding * products[$0].reduce(0) { $0 + abs($1) }
    }
    #expect(off == nil)
  }

  @Test(arguments: RowSet.available, lengths) func crossEntropy(set: RowSet, count: Int) {
    let operations = set.operations
    let ranges: [ClosedRange<Float>] = [-3...3, -1e4...1e4, 9990...1e4, -1e4 ... -9990]
    for (range, target) in zip(ranges, [0, count / 2, count - 1, count / 3]) {
      let logits = rowSamples(count, seed: 14, in: range), scale: Float = 0.25
      let row = GuardedFloats(logits)
      let loss = unsafe operations.cross_entropy(row.pointer, count, target)
      #expect(row.values == logits)
      let same = unsafe operations.cross_entropy_gradient(row.pointer, count, target, scale)
      #expect(row.guardsHold && loss.isFinite && loss == same)

      let p = Reference.softmax(logits.doubles)
      let roundings = softmaxRoundings(logits.doubles, p)
      let expected = Reference.crossEntropy(logits.doubles, target: target)
      // The largest logit's bound is that of the sum.
      let most = logits.indices.max { logits[$0] < logits[$1] }!
      #expect(abs(Double(loss) - expected) <= rounding * (roundings(most) + abs(expected)))
      let slopes = Reference.crossEntropyGradient(logits.doubles, target: target)
      let failure = firstBeyond(row.values, slopes.map { $0 * Double(scale) }) {
        Double(scale) * (rounding * (p[$0] * roundings($0) + abs(slopes[$0])) + 1e-37)
      }
      #expect(failure == nil)
    }
  }

  /// A row's powers and their scaling, apart, are what cross entropy does in one call.
  @Test(arguments: RowSet.available, lengths) func powersInParts(set: RowSet, count: Int) {
    let operations = set.operations
    for range in [-3...3, -1e4...1e4, 9990...1e4] as [ClosedRange<Float>] {
      let logits = rowSamples(count, seed: 17, in: range)
      let (whole, parts) = (GuardedFloats(logits), GuardedFloats(logits))
      _ = unsafe operations.cross_entropy_gradient(whole.pointer, count, 0, 0.25)
      var most: Float = 0
      let sum = unsafe operations.powers(parts.pointer, count, &most)
      #expect(most == logits.max() && sum >= 1)
      unsafe operations.scale_row(parts.pointer, count, 0.25 / sum)
      #expect(parts.guardsHold)
      var values = parts.values
      values[0] -= 0.25
      #expect(values == whole.values)
    }
  }

  @Test(arguments: RowSet.available) func spoiltRowsShow(set: RowSet) {
    let row = GuardedFloats([1, .nan, 2])
    #expect(unsafe set.operations.cross_entropy(row.pointer, 3, 0).isNaN)
    let most = GuardedFloats(zeros: 1), sums = GuardedFloats(zeros: 1)
    var whole = unsafe tile(row, 3, visible: 3, most: most, sums: sums)
    unsafe set.operations.attention_powers(&whole)
    #expect(sums.values[0].isNaN)
  }

  // MARK: Rows

  @Test(arguments: RowSet.available, lengths) func rows(set: RowSet, dim: Int) {
    let rows = 6, operations = set.operations
    let x = rowSamples(rows * dim, seed: 15), row = rowSamples(dim, seed: 16)
    let input = GuardedFloats(x), bias = GuardedFloats(row)
    let output = GuardedFloats(zeros: rows * dim)
    unsafe operations.fill_rows(bias.pointer, output.pointer, rows, dim)
    #expect(output.values == (0..<rows).flatMap { _ in row })
    unsafe operations.add_row(input.pointer, bias.pointer, output.pointer, rows, dim)
    #expect(output.values == x.indices.map { x[$0] + row[$0 % dim] })
    #expect(output.guardsHold)

    // Some columns of wider rows.
    let columns = (dim + 1) / 2
    let sums = GuardedFloats(Array(row[..<columns]))
    unsafe operations.sum_columns(input.pointer, dim, sums.pointer, rows, columns)
    #expect(sums.guardsHold)
    let terms = (0..<columns).map { i in [row[i]] + (0..<rows).map { x[$0 * dim + i] } }
    let failure = firstBeyond(sums.values, terms.map { $0.doubles.reduce(0, +) }) {
      Double(rows) * rounding * terms[$0].doubles.reduce(0) { $0 + abs($1) }
    }
    #expect(failure == nil)
  }
}
