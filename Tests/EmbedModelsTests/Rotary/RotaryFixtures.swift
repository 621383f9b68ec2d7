// What other libraries make of models' configurations: scripts/reference/make_rotary_fixtures.py and
// sweep_rotary.py say how.

import Foundation
import Testing

enum RotaryFixtures {
  struct Scaling: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let config: String
    let layerType: String?
    let length: Int?
    let frequencies: [Double]
    let factor: Double
    var testDescription: String { name }
  }

  struct Sweep: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let config: String
    let layerType: String?
    let pairs: Int
    /// Radians a position of pair 1 and of the last.
    let second, last: Double
    /// At position 7: pair 0's cosine and the last pair's sine.
    let cosine, sine: Double
    let layout: String?
    var testDescription: String { "\(name), \(layerType ?? "all layers")" }
  }

  private struct Cases<Case: Decodable>: Decodable { let cases: [Case] }

  static func scalings() throws -> [Scaling] { try cases("scalings.json") }

  static func sweep() throws -> [Sweep] { try cases("sweep.json") }

  private static func cases<Case: Decodable>(_ name: String) throws -> [Case] {
    let file = Fixtures.folder.appending(path: "rotary/\(name)")
    return try JSONDecoder().decode(Cases<Case>.self, from: Data(contentsOf: file)).cases
  }
}
