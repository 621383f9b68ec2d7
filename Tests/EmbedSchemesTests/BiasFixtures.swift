// The biases' reference values, as scripts/reference/make_bias_fixtures.py lists them.

import EmbedKernel
import Foundation
import Testing

/// What Fixtures/biases/biases.json holds.
struct BiasFixtures: Decodable, Sendable {
  struct Buckets: Decodable, Sendable {
    let count: Int
    let maximumDistance: Int
    let direction: String?
    let buckets: [Int]
  }

  /// Arrays of one scheme, and its sizes.
  struct Case: Decodable, Sendable {
    let arrays: [String: [Double]]
    let sizes: [String: Int]

    init(from decoder: any Decoder) throws {
      let values = try decoder.container(keyedBy: Key.self)
      var (arrays, sizes) = ([String: [Double]](), [String: Int]())
      for key in values.allKeys {
        if let size = try? values.decode(Int.self, forKey: key) {
          sizes[key.stringValue] = size
        } else {
          arrays[key.stringValue] = try values.decode([Double].self, forKey: key)
        }
      }
      (self.arrays, self.sizes) = (arrays, sizes)
    }

    private struct Key: CodingKey {
      let stringValue: String
      var intValue: Int? { nil }
      init?(stringValue: String) { self.stringValue = stringValue }
      init?(intValue: Int) { nil }
    }

    /// An array as floats; the script's inputs are exact in them.
    func floats(_ name: String) throws -> [Float] { try doubles(name).map { Float($0) } }

    func doubles(_ name: String) throws -> [Double] { try #require(arrays[name], "\(name)") }

    /// An array as a table of rows of `dim`.
    func table(_ name: String, dim: Int) throws -> EmbeddingTable<Float> {
      try makeTable(floats(name), dim: dim)
    }
  }

  let alibiSlopes: [String: [Double]]
  let buckets: [Buckets]
  let logBuckets: [Buckets]
  let swinIndex: [String: [Int]]
  let sandwich: [Double]
  let shape: [Int]
  let cases: [String: Case]

  var attention: AttentionShape {
    AttentionShape(batch: shape[0], heads: shape[1], queries: shape[2], keys: shape[3])
  }
  var dim: Int { shape[4] }

  func fixture(_ name: String) throws -> Case { try #require(cases[name], "\(name)") }

  static func load() throws -> BiasFixtures {
    let path = Fixtures.folder.appending(path: "biases/biases.json")
    return try JSONDecoder().decode(BiasFixtures.self, from: Data(contentsOf: path))
  }
}

/// A table of rows of `dim`.
func makeTable(_ values: [Float], dim: Int) throws -> EmbeddingTable<Float> {
  let span = values.span
  return try EmbeddingTable<Float>(rows: values.count / dim, dim: dim, copying: span)
}

/// Expects each value within `tolerance` times the magnitude of the largest of `scale`, or of the
/// value itself.
func expectNear(
  _ actual: [Float], _ expected: [Double], tolerance: Double, scale: Double? = nil,
  _ what: @autoclosure () -> String
) {
  guard actual.count == expected.count else {
    Issue.record("\(what()): \(actual.count) elements instead of \(expected.count)")
    return
  }
  for (i, (a, e)) in zip(actual, expected).enumerated() {
    let limit = tolerance * (scale ?? max(abs(e), 1e-30))
    if !(abs(Double(a) - e) <= limit) {
      Issue.record("\(what()): element \(i) is \(a) instead of \(e)")
      return
    }
  }
}
