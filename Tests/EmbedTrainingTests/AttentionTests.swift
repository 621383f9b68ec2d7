// Attention in tiles against plain loops in Double, forward and backward, on both sides of the borders
// of tiles, with bounds from counting roundings.
//
// A logit is a sum of d products; its error is one of a probability, in parts of it. What is summed over
// keys or queries has as many roundings at most as it has terms.

import EmbedKernel
import EmbedTraining
import ReferenceKernels
import TestSupport
import Testing

/// The sizes of a case.
struct AttentionCase: Sendable, CustomTestStringConvertible {
  var batch = 1
  var heads = 2
  var headDim = 5
  var queries: Int
  var keys: Int
  var isCausal: Bool
  var isBiased: Bool

  var testDescription: String {
    "\(batch) x \(heads) x \(headDim), \(queries) of \(keys), "
      + (isCausal ? "causal" : "bidirectional") + (isBiased ? ", biased" : "")
  }

  /// Whole sequences, as in training.
  static let whole = [1, 2, 63, 65, 130, 530].flatMap { context in
    [(true, false), (false, true), (true, true)].map {
      AttentionCase(
        batch: context > 100 ? 1 : 3, headDim: context > 100 ? 5 : 8, queries: context,
        keys: context, isCausal: $0.0, isBiased: $0.1)
    }
  }

  /// The last queries of a cached sequence.
  static let cached = [(1, 1), (1, 40), (3, 514), (70, 600), (1, 1_100)].map {
    AttentionCase(queries: $0.0, keys: $0.1, isCausal: true, isBiased: $0.0 != 3)
  }
}

/// Inputs of a case, results of the library and of plain loops, and how far these may be apart.
final class AttentionRun {
  let c: AttentionCase
  /// `[B, K, H, d]`, and `[B, Q, H, d]`; entries of a bias at key - query = -K + 1 and on, `[H, 2K - 1]`.
  let keys: [Float], values: [Float], queries: [Float], above: [Float], entries: [Float]

  init(_ c: AttentionCase) {
    self.c = c
    let wide = c.batch * c.keys * c.heads * c.headDim
    let narrow = c.batch * c.queries * c.heads * c.headDim
    keys = rowSamples(wide, seed: 41)
    values = rowSamples(wide, seed: 42)
    queries = rowSamples(narrow, seed: 43)
    above = rowSamples(narrow, seed: 44)
    entries = rowSamples(c.heads * (2 * c.keys - 1), seed: 45)
  }

  /// Output, gradients of queries, keys and values, and of the bias, `[B, H, 2K - 1]`.
  typealias Results = (
    output: [Float], queries: [Float], keys: [Float], values: [Float], distances: [Float]
  )

  func run(backward: Bool, threads: Int, parts: Int) throws -> Results {
    let dim = c.heads * c.headDim, distances = 2 * c.keys - 1
    let floats = [keys, values, queries, above, entries].map(GuardedFloats.init)
    let output = GuardedFloats(zeros: queries.count)
    let statistics = GuardedFloats(zeros: c.batch * c.heads * 2 * c.queries)
    let scratch = GuardedFloats(
      zeros: parts
        * AttentionRows.scratchCount(queries: c.queries, keys: c.keys, backward: backward))
    let slopes = [queries, keys, values].map {
      GuardedFloats([Float](repeating: .nan, count: $0.count))
    }
    let ofBias = GuardedFloats(zeros: c.batch * c.heads * distances)
    func rows(_ memory: GuardedFloats) -> HeadRows { unsafe HeadRows(memory.pointer, stride: dim) }
    func bias(_ memory: GuardedFloats) -> DistanceEntries {
      unsafe DistanceEntries(memory.pointer + c.keys - 1, headStride: distances)
    }
    let attention = unsafe AttentionRows(
      batch: c.batch, heads: c.heads, headDim: c.headDim, queryCount: c.queries, keyCount: c.keys,
      isCausal: c.isCausal, queries: rows(floats[2]), keys: rows(floats[0]),
      values: rows(floats[1]), statistics: statistics.pointer,
      bias: c.isBiased ? bias(floats[4]) : nil)
    try OneThreadedBLAS.run { () throws(EmbedError) in
      unsafe AttentionForward(
        rows: attention, output: rows(output), scratch: scratch.pointer, parts: parts
      ).run(threads: threads)
      guard backward else { return }
      unsafe AttentionBackward(
        rows: attention, output: rows(output), gradient: rows(floats[3]),
        queryGradient: rows(slopes[0]), keyGradient: rows(slopes[1]),
        valueGradient: rows(slopes[2]), distances: c.isBiased ? bias(ofBias) : nil,
        scratch: scratch.pointer, parts: parts
      ).run(threads: threads)
    }
    #expect(([output, statistics, scratch, ofBias] + slopes).allSatisfy { $0.guardsHold })
    return (
      output.values, slopes[0].values, slopes[1].values, slopes[2].values, ofBias.values
    )
  }

  /// Compares results with plain loops, and gives the first that is too far off.
  func failure(_ found: Results, backward: Bool) -> String? {
    let (d, heads, scale) = (c.headDim, c.heads, 1 / Double(c.headDim).squareRoot())
    func at(_ x: [Float], _ b: Int, _ count: Int, _ t: Int, _ h: Int, _ i: Int) -> Double {
      Double(x[((b * count + t) * heads + h) * d + i])
    }
    for b in 0..<c.batch {
      for h in 0..<heads {
        var slopes = [Double](repeating: 0, count: 2 * c.keys * d), bounds = slopes
        var distances = [Double](repeating: 0, count: 2 * c.keys - 1), ofDistances = distances
        for q in 0..<c.queries {
          let place = c.keys - c.queries + q
          let seen = c.isCausal ? place + 1 : c.keys
          var logits = [Double](repeating: 0, count: seen), worst = 0.0
          for k in 0..<seen {
            var magnitude = 0.0
            for i in 0..<d {
              let product =
                at(queries, b, c.queries, q, h, i) * at(keys, b, c.keys, k, h, i) * scale
              logits[k] += product
              magnitude += abs(product)
            }
            if c.isBiased {
              let entry = Double(entries[h * (2 * c.keys - 1) + k - place + c.keys - 1])
              logits[k] += entry
              magnitude += abs(entry)
            }
            worst = max(worst, Double(d + 4) * rounding * magnitude)
          }
          let p = Reference.softmax(logits)
          let range = (logits.max() ?? 0) - (logits.min() ?? 0)
          let tiles = Double(seen / AttentionRows.keyTile + 1)
          // Of a probability, in parts of it: twice the logits', and those of its power and the sum's.
          let ofP = 2 * worst + rounding * (tiles * (16 + 6 * range) + Double(seen) / 16 + 16)
          let ofSum = ofP + 2 * rounding * Double(seen)
          var (mean, ofMean) = (0.0, 0.0)
          for i in 0..<d {
            var (sum, magnitude) = (0.0, 0.0)
            for k in 0..<seen {
              let value = at(values, b, c.keys, k, h, i)
              sum += p[k] * value
              magnitude += p[k] * abs(value)
            }
            let actual = at(found.output, b, c.queries, q, h, i)
            let bound = magnitude * ofSum
            if !(abs(actual - sum) <= bound) {
              return "output \(b), \(q), \(h), \(i): \(actual) for \(sum), bound \(bound)"
            }
            let slope = at(above, b, c.queries, q, h, i)
            mean += slope * sum
            ofMean += abs(slope) * (bound + Double(d + 2) * rounding * abs(sum))
          }
          guard backward else { continue }
          var ofQuery = [Double](repeating: 0, count: d), queryBounds = ofQuery
          for k in 0..<seen {
            var (slope, magnitude) = (0.0, 0.0)
            for i in 0..<d {
              let product = at(above, b, c.queries, q, h, i) * at(values, b, c.keys, k, h, i)
              slope += product
              magnitude += abs(product)
            }
            let exact = p[k] * (slope - mean)
            let bound =
              abs(exact) * (ofP + 4 * rounding)
              + p[k] * (Double(d + 2) * rounding * magnitude + ofMean)
            let terms = 2 * rounding * Double(c.keys + 4)
            for i in 0..<d {
              let key = at(keys, b, c.keys, k, h, i), query = at(queries, b, c.queries, q, h, i)
              let up = at(above, b, c.queries, q, h, i)
              ofQuery[i] += exact * key * scale
              queryBounds[i] += (bound + terms * abs(exact)) * abs(key) * scale
              slopes[k * d + i] += exact * query * scale
              bounds[k * d + i] += (bound + terms * abs(exact)) * abs(query) * scale
              slopes[(c.keys + k) * d + i] += p[k] * up
              bounds[(c.keys + k) * d + i] += p[k] * (ofP + terms) * abs(up)
            }
            distances[k - place + c.keys - 1] += exact
            ofDistances[k - place + c.keys - 1] += bound + terms * abs(exact)
          }
          for i in 0..<d {
            let actual = at(found.queries, b, c.queries, q, h, i)
            if !(abs(actual - ofQuery[i]) <= queryBounds[i]) {
              return "query \(b), \(q), \(h), \(i): \(actual) for \(ofQuery[i])"
            }
          }
        }
        guard backward else { continue }
        for k in 0..<c.keys {
          for i in 0..<d {
            let key = at(found.keys, b, c.keys, k, h, i)
            let value = at(found.values, b, c.keys, k, h, i)
            if !(abs(key - slopes[k * d + i]) <= bounds[k * d + i]) {
              return "key \(b), \(k), \(h), \(i): \(key) for \(slopes[k * d + i])"
            }
            let place = (c.keys + k) * d + i
            if !(abs(value - slopes[place]) <= bounds[place]) {
              return "value \(b), \(k), \(h), \(i): \(value) for \(slopes[place])"
            }
          }
        }
        for i in distances.indices where c.isBiased {
          let actual = Double(found.distances[(b * heads + h) * distances.count + i])
          if !(abs(actual - distances[i]) <= ofDistances[i]) {
            return "distance \(i - c.keys + 1): \(actual) for \(distances[i])"
          }
        }
      }
    }
    return nil
  }
}

@Suite struct AttentionTests {
  @Test(arguments: AttentionCase.whole) func tilesAreTheWhole(_ c: AttentionCase) throws {
    let run = AttentionRun(c)
    let found = try run.run(backward: true, threads: 2, parts: 2)
    #expect(run.failure(found, backward: true) == nil)
    // However the work is cut.
    for (threads, parts) in [(1, 1), (3, 5)] {
      let other = try run.run(backward: true, threads: threads, parts: parts)
      #expect(other.output == found.output && other.queries == found.queries)
      #expect(other.keys == found.keys && other.values == found.values)
      #expect(other.distances == found.distances)
    }
  }

  @Test(arguments: AttentionCase.cached) func lastQueriesSeeTheCachedKeys(
    _ c: AttentionCase
  ) throws {
    let run = AttentionRun(c)
    let found = try run.run(backward: false, threads: 2, parts: 3)
    #expect(run.failure(found, backward: false) == nil)
  }
}
