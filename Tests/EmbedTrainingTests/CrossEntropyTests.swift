// The loss by chunks against plain loops in Double over whole logits.
//
// A logit has D products' roundings, and its power's relative error is the logit's error; gradients sum
// V or N terms more.

import EmbedKernel
import EmbedTraining
import ReferenceKernels
import TestSupport
import Testing

@Suite struct CrossEntropyTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let vocabulary: Int
    let dim: Int
    let rows: Int
    let chunk: Int?
    var testDescription: String { "\(rows) x \(dim), \(vocabulary), by \(chunk ?? 0)" }

    static let all = [
      Case(vocabulary: 1, dim: 1, rows: 1, chunk: nil),
      Case(vocabulary: 131, dim: 13, rows: 40, chunk: 7),
      Case(vocabulary: 131, dim: 13, rows: 40, chunk: nil),
      Case(vocabulary: 19, dim: 33, rows: 67, chunk: 1),
      Case(vocabulary: 500, dim: 8, rows: 65, chunk: 64),
    ]
  }

  @Test(arguments: Case.all) func chunksAreTheWhole(_ c: Case) throws {
    let hidden = rowSamples(c.rows * c.dim, seed: 51)
    let table = rowSamples(c.vocabulary * c.dim, seed: 52)
    let targets = (0..<c.rows).map { Int32(7 * $0 % c.vocabulary) }
    let before = rowSamples(table.count, seed: 53)
    let weight: Float = 0.5
    func run(_ threads: Int) throws -> (loss: Double, hidden: [Float], table: [Float]) {
      let loss = try ChunkedCrossEntropy(
        vocabulary: c.vocabulary, dim: c.dim, rows: c.rows + 3, chunk: c.chunk, threads: threads)
      #expect(loss.memoryBytes == 4 * (loss.chunk * c.vocabulary + c.rows + 3))
      var first = [Float](repeating: .nan, count: hidden.count), second = before
      var firstSpan = first.mutableSpan
      var secondSpan = second.mutableSpan
      let found = try loss.gradients(
        hidden.span, targets: targets.span, table: table.span, weight: weight,
        hiddenGradient: &firstSpan, tableGradient: &secondSpan, .accumulate)
      #expect(try loss.loss(hidden.span, targets: targets.span, table: table.span) == found)
      return (found, first, second)
    }
    let found = try run(1)
    let other = try run(3)
    #expect(other == found)

    var (sum, ofSum) = (0.0, 0.0)
    let chunks = Double(c.rows / (c.chunk ?? c.rows) + 2)
    var exact = before.doubles, bounds = before.map { chunks * rounding * Double(abs($0)) }
    for n in 0..<c.rows {
      let row = hidden[n * c.dim..<(n + 1) * c.dim].map(Double.init)
      var logits: [Double] = [], worst = 0.0
      for v in 0..<c.vocabulary {
        let products = (0..<c.dim).map { row[$0] * Double(table[v * c.dim + $0]) }
        logits.append(products.reduce(0, +))
        worst = max(
          worst, Double(c.dim + 2) * rounding * products.reduce(0) { $0 + abs($1) })
      }
      let target = Int(targets[n])
      let loss = Reference.crossEntropy(logits, target: target)
      let range = (logits.max() ?? 0) - (logits.min() ?? 0)
      let ofP = 2 * worst + rounding * (16 + 6 * range + Double(c.vocabulary) / 16)
      sum += loss
      ofSum += ofP + 2 * rounding * abs(loss)
      let scale = Double(weight) / Double(c.rows)
      let slopes = Reference.crossEntropyGradient(logits, target: target).map { $0 * scale }
      let p = Reference.softmax(logits)
      let ofSlopes = slopes.indices.map { scale * p[$0] * ofP + 4 * rounding * abs(slopes[$0]) }
      let terms = 2 * rounding * Double(c.vocabulary + c.rows)
      for i in 0..<c.dim {
        var (value, bound) = (0.0, 1e-12)
        for v in 0..<c.vocabulary {
          let entry = Double(table[v * c.dim + i])
          value += slopes[v] * entry
          bound += abs(entry) * (ofSlopes[v] + terms * abs(slopes[v]))
          exact[v * c.dim + i] += slopes[v] * row[i]
          bounds[v * c.dim + i] += abs(row[i]) * (ofSlopes[v] + terms * abs(slopes[v]))
        }
        #expect(abs(Double(found.hidden[n * c.dim + i]) - value) <= bound, "hidden \(n), \(i)")
      }
    }
    #expect(abs(found.loss - sum / Double(c.rows)) <= ofSum / Double(c.rows) + 1e-12)
    let failure = firstBeyond(found.table, exact) {
      bounds[$0] + chunks * rounding * abs(exact[$0])
    }
    #expect(failure == nil)
  }

  @Test func wrongCallsAreRefused() throws {
    for (vocabulary, dim, rows, chunk) in [(0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0)] {
      #expect(throws: EmbedError.self) {
        try ChunkedCrossEntropy(vocabulary: vocabulary, dim: dim, rows: rows, chunk: chunk)
      }
    }
    #expect(throws: EmbedError.self) {
      try ChunkedCrossEntropy(vocabulary: 1 << 32, dim: 1, rows: 1)
    }
    let loss = try ChunkedCrossEntropy(vocabulary: 3, dim: 2, rows: 4, threads: 1)
    let hidden = [Float](repeating: 1, count: 10), table = [Float](repeating: 1, count: 6)
    func value(_ rows: Int, _ targets: [Int32], _ entries: Int = 6) throws -> Double {
      try loss.loss(
        hidden.span.extracting(0..<rows * 2), targets: targets.span,
        table: table.span.extracting(0..<entries))
    }
    #expect(throws: EmbedError.self) { try value(0, []) }
    #expect(throws: EmbedError.self) { try value(5, [0, 0, 0, 0, 0]) }
    #expect(throws: EmbedError.self) { try value(2, [0, 0, 0]) }
    #expect(throws: EmbedError.self) { try value(2, [0, 0], 4) }
    #expect(throws: EmbedError.tokenOutOfRange(id: 3, batchRow: 0, position: 1, vocabulary: 3)) {
      try value(2, [0, 3])
    }
    #expect(throws: EmbedError.self) { try value(2, [-1, 0]) }
    var (first, second) = ([Float](repeating: 7, count: 2), [Float](repeating: 7, count: 6))
    for weight in [Float.nan, .infinity] {
      var a = first.mutableSpan
      var b = second.mutableSpan
      #expect(throws: EmbedError.self) {
        try loss.gradients(
          hidden.span.extracting(0..<2), targets: ([0] as [Int32]).span, table: table.span,
          weight: weight, hiddenGradient: &a, tableGradient: &b, .overwrite)
      }
    }
    #expect(first == [7, 7] && second.allSatisfy { $0 == 7 })
  }
}
