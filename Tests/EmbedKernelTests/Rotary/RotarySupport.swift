// What the rotary tests share: the fixtures, plain loops in Double as the oracle, and every way to
// compute.

import EmbedKernel
import Foundation
import TestSupport
import Testing

/// The rotation by its definition, in Double, one element after the other.
func reference(
  _ x: [Float], _ shape: RotaryShape, _ embedding: RotaryEmbedding, positions: [Int],
  under scale: RotaryScale = .trained, _ direction: RotaryDirection = .forward
) throws -> [Double] {
  let angles = try embedding.frequencies(under: scale)
  let pairs = embedding.rotaryDim / 2
  var y = x.map { Double($0) }
  for b in 0..<shape.batch {
    for h in 0..<shape.heads {
      for t in 0..<shape.context {
        let row =
          shape.order == .headsFirst
          ? ((b * shape.heads + h) * shape.context + t) * shape.headDim
          : ((b * shape.context + t) * shape.heads + h) * shape.headDim
        for pair in 0..<pairs {
          let angle = Double(positions[b * shape.context + t]) * angles.radians[pair]
          let c = cos(angle) * angles.attentionFactor
          let s = sin(angle) * angles.attentionFactor * (direction == .forward ? 1 : -1)
          let first = row + (embedding.layout == .halves ? pair : 2 * pair)
          let second = first + (embedding.layout == .halves ? pairs : 1)
          let (a, b) = (Double(x[first]), Double(x[second]))
          (y[first], y[second]) = (a * c - b * s, b * c + a * s)
        }
      }
    }
  }
  return y
}

/// The largest difference over the largest size.
func relativeError(_ actual: [Float], _ expected: [Double]) -> Double {
  guard actual.count == expected.count else { return .infinity }
  let size = expected.reduce(0) { max($0, abs($1)) }
  let difference = zip(actual, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
  return size == 0 ? difference : difference / size
}

/// Normal-like values in -2...2, the same for the same seed.
func drawn(_ count: Int, seed: UInt64) -> [Float] {
  var random = SeededGenerator(seed: seed)
  return (0..<count).map { _ in Float.random(in: -2...2, using: &random) }
}

/// Fills memory with a pattern over and over: drawing millions of numbers takes debug builds long.
func fill<Element>(
  _ buffer: UnsafeMutableBufferPointer<Element>, repeating pattern: [Element]
) {
  for start in stride(from: 0, to: buffer.count, by: pattern.count) {
    let count = min(pattern.count, buffer.count - start)
    let part = unsafe UnsafeMutableBufferPointer(rebasing: buffer[start..<start + count])
    unsafe _ = part.update(fromContentsOf: pattern[..<count])
  }
}

/// Whether two stretches of memory hold the same bytes.
func haveSameBytes<Element>(
  _ a: UnsafeMutableBufferPointer<Element>, _ b: UnsafeMutableBufferPointer<Element>
) -> Bool {
  guard a.count == b.count, let first = a.baseAddress, let second = b.baseAddress else {
    return a.count == b.count
  }
  return unsafe memcmp(first, second, a.count * MemoryLayout<Element>.stride) == 0
}

extension RotaryEmbedding {
  /// Rotates into new memory.
  func rotated(
    _ x: [Float], _ shape: RotaryShape, at place: PositionIDs = .sequential(),
    under scale: RotaryScale? = nil, _ direction: RotaryDirection = .forward,
    as role: RotaryRole = .queries, using kernels: Kernels = .auto
  ) throws -> [Float] {
    var y = [Float](repeating: .nan, count: x.count)
    var span = y.mutableSpan
    try rotate(
      x.span, shape: shape, at: place, under: scale, direction, as: role, into: &span,
      using: kernels)
    return y
  }

  /// Rotates in place.
  func rotatedInPlace(
    _ x: [Float], _ shape: RotaryShape, at place: PositionIDs = .sequential(),
    _ direction: RotaryDirection = .forward, using kernels: Kernels = .auto
  ) throws -> [Float] {
    var y = x
    var span = y.mutableSpan
    try rotate(inPlace: &span, shape: shape, at: place, direction, using: kernels)
    return y
  }
}

/// The backends that give the same bits, each on one and on three threads.
let exactWays: [Kernels] =
  InstructionSet.allCases.filter(\.isAvailable).flatMap { set in
    [1, 3].map { Kernels(backend: .native, threads: $0, instructionSet: set) }
  } + [1, 3].map { Kernels(backend: .simd, threads: $0) }

enum RotaryFixtures {
  struct Rotation: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let headDim: Int
    let base: Double
    let layout: String
    let axes: [String: [Int]]?
    let shape: [Int]
    let positions: [Int32]
    let input: [Float]
    let expected: [Double]
    var testDescription: String { name }
  }

  struct Learned: Decodable, Sendable {
    struct XPos: Decodable, Sendable {
      let shape: [Int]
      let center: Int
      let input: [Float]
      let queries, keys: [Double]
      let outputGradient: [Float]
      let queryInputGradient, keyInputGradient: [Double]
    }
    let xpos: XPos
  }

  struct MLX: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let shape: [Int]
    let layout: String
    let rotaryDim: Int
    let scale: Double
    let offsets: [Int32]
    let divisors: [Double]?
    let input: [Float]
    let expected: [Double]
    var testDescription: String { name }
  }

  private struct Cases<Case: Decodable>: Decodable { let cases: [Case] }

  static func rotations() throws -> [Rotation] {
    try decode(Cases<Rotation>.self, "rotations.json").cases
  }

  static func mlx() throws -> [MLX] { try decode(Cases<MLX>.self, "mlx.json").cases }

  static func learned() throws -> Learned { try decode(Learned.self, "learned.json") }

  private static func decode<File: Decodable>(_ type: File.Type, _ name: String) throws -> File {
    let folder = Fixtures.folder.appending(path: "rotary")
    return try JSONDecoder().decode(type, from: Data(contentsOf: folder.appending(path: name)))
  }
}

extension RotaryShape {
  init(_ dimensions: [Int]) {
    self.init(
      batch: dimensions[0], heads: dimensions[1], context: dimensions[2], headDim: dimensions[3])
  }
}
