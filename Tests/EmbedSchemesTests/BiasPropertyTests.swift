// Biases that depend on positions alone, held bit for bit to plain loops over every kind of position
// and mask, and to what must not change them.

import EmbedKernel
import EmbedSchemes
import TestSupport
import Testing

/// Schemes that depend on positions alone, small enough for many calls.
enum BiasScheme: String, CaseIterable, Sendable {
  case none, alibi, symmetric, t5, decoder, kerple, power, sandwich

  func make(heads: Int) throws -> any AttentionBias {
    var random = SeededGenerator(seed: 7)
    func table(_ rows: Int) throws -> EmbeddingTable<Float> {
      let values = (0..<rows * heads).map { _ in Float.random(in: 0.1...1.5, using: &random) }
      return try makeTable(values, dim: heads)
    }
    return switch self {
    case .none: NoBias()
    case .alibi: try DistanceTable(ALiBi(heads: heads))
    case .symmetric: try DistanceTable(ALiBi(heads: heads, direction: .symmetric))
    case .t5:
      try DistanceTable(
        T5Bias(DistanceBuckets(direction: .bidirectional), weights: table(32)))
    case .decoder:
      try DistanceTable(T5Bias(DistanceBuckets(direction: .causal), weights: table(32)))
    case .kerple: try DistanceTable(KERPLE(.logarithmic, parameters: table(2)))
    case .power: try DistanceTable(KERPLE(.power, parameters: table(2)))
    case .sandwich: try DistanceTable(Sandwich(heads: heads, dim: 16))
    }
  }
}

/// Positions of queries and keys, and where each token stands by their definition.
struct BiasPlacement: Sendable, CustomTestStringConvertible {
  let name: String
  let queries: PositionIDs
  let keys: PositionIDs
  /// Position and document of each token of a batch row; document -1 is padding.
  let query: @Sendable (_ row: Int, _ column: Int) -> (position: Int, document: Int)
  let key: @Sendable (_ row: Int, _ column: Int) -> (position: Int, document: Int)
  var testDescription: String { name }

  /// For a batch of 2, 37 queries and 37 keys.
  static let all: [BiasPlacement] = {
    let size = 37
    let lengths: [Int32] = [0, 5, 5, 6, 40, 74]
    let packed: @Sendable (Int, Int) -> (Int, Int) = { row, column in
      let token = row * size + column
      let document = lengths.indices.last { lengths[$0] <= token } ?? 0
      return (token - Int(lengths[document]), document)
    }
    let mask = (0..<2 * size).map { UInt8($0 % size < ($0 / size == 0 ? 4 : 0) ? 0 : 1) }
    let padded: @Sendable (Int, Int) -> (Int, Int) = { row, column in
      row == 0 ? (column < 4 ? (0, -1) : (column - 4, 0)) : (column, 0)
    }
    let ids = (0..<size).map { Int32(($0 * 5 / 3) % 29) }
    return [
      BiasPlacement(
        name: "sequential", queries: .sequential(), keys: .sequential(), query: { ($1, 0) },
        key: { ($1, 0) }),
      BiasPlacement(
        name: "a cache", queries: .sequential(offset: 90), keys: .sequential(offset: 60),
        query: { ($1 + 90, 0) }, key: { ($1 + 60, 0) }),
      BiasPlacement(
        name: "offsets", queries: .offsets([3, 50]), keys: .sequential(),
        query: { ($1 + ($0 == 0 ? 3 : 50), 0) }, key: { ($1, 0) }),
      BiasPlacement(
        name: "explicit", queries: .explicit(ids), keys: .explicit(ids),
        query: { (Int(ids[$1]), 0) }, key: { (Int(ids[$1]), 0) }),
      BiasPlacement(
        name: "packed", queries: .packed(cumulativeLengths: lengths),
        keys: .packed(cumulativeLengths: lengths), query: packed, key: packed),
      BiasPlacement(
        name: "left padding", queries: .mask(mask), keys: .mask(mask), query: padded, key: padded),
    ]
  }()
}

@Suite struct BiasPropertyTests {
  static let masks: [AttentionMask] = [
    [], .causal, [.causal, .documents, .padding], [.documents, .padding],
  ]
  static let shape = AttentionShape(batch: 2, heads: 3, queries: 37, keys: 37)

  /// The plain loops.
  static func expected(
    _ bias: any AttentionBias, _ place: BiasPlacement, _ mask: AttentionMask, _ logits: [Float]
  ) -> [Float] {
    var result = logits
    let formula = (bias as? DistanceTable)?.formula ?? bias
    for b in 0..<shape.batch {
      for h in 0..<shape.heads {
        for i in 0..<shape.queries {
          for j in 0..<shape.keys {
            let (q, k) = (place.query(b, i), place.key(b, j))
            let at = ((b * shape.heads + h) * shape.queries + i) * shape.keys + j
            if q.document < 0 { continue }
            if k.document < 0 {
              if mask.contains(.padding) { result[at] = -.infinity }
            } else if q.document != k.document {
              let isLater = k.document > q.document
              if mask.contains(.documents) || mask.contains(.causal) && isLater {
                result[at] = -.infinity
              }
            } else if mask.contains(.causal) && k.position > q.position {
              result[at] = -.infinity
            } else if !(bias is NoBias) {
              result[at] += Float(formula.value(head: h, query: q.position, key: k.position))
            }
          }
        }
      }
    }
    return result
  }

  @Test(arguments: BiasScheme.allCases, BiasPlacement.all.inDebug(every: 3))
  func everyBackendHasTheLoopsBits(_ scheme: BiasScheme, _ place: BiasPlacement) throws {
    let bias = try scheme.make(heads: Self.shape.heads)
    var random = SeededGenerator(seed: 11)
    let count = 2 * 3 * 37 * 37
    let logits = random.floats(count)
    for mask in Self.masks {
      let expected = Self.expected(bias, place, mask, logits)
      let written = Self.expected(bias, place, mask, [Float](repeating: 0, count: count))
      for kernels in BiasFixtureTests.kernels {
        let what = "\(scheme), \(place.name), mask \(mask.rawValue), \(kernels)"
        var output = logits
        var span = output.mutableSpan
        try kernels.addBias(
          bias, to: &span, shape: Self.shape, queries: place.queries, keys: place.keys, mask: mask)
        expectSameBits(output, expected, what)
        // Adding to zero turns a -0 into 0; writing keeps it.
        var fresh = [Float](repeating: .nan, count: count)
        var freshSpan = fresh.mutableSpan
        try kernels.writeBias(
          bias, into: &freshSpan, shape: Self.shape, queries: place.queries, keys: place.keys,
          mask: mask)
        expectSameBits(fresh.map { $0 + 0 }, written.map { $0 + 0 }, "\(what), written")
      }
    }
  }

  @Test(arguments: BiasScheme.allCases)
  func onlyTheDistanceCounts(_ scheme: BiasScheme) throws {
    let bias = try scheme.make(heads: 3)
    func write(_ offset: Int) throws -> [Float] {
      var output = [Float](repeating: 0, count: 3 * 20 * 30)
      var span = output.mutableSpan
      try Kernels.auto.writeBias(
        bias, into: &span, shape: AttentionShape(heads: 3, queries: 20, keys: 30),
        queries: .sequential(offset: offset + 10), keys: .sequential(offset: offset))
      return output
    }
    let reference = try write(0)
    for offset in [1, 17, 1_000_000] {
      expectSameBits(try write(offset), reference, "\(scheme), shifted by \(offset)")
    }
    let width = 30
    for h in 0..<3 {
      for i in 1..<20 {
        for j in 1..<width {
          let at = (h * 20 + i) * width + j
          #expect(reference[at] == reference[at - width - 1], "\(scheme), \(h), \(i), \(j)")
        }
      }
    }
  }

  @Test(arguments: BiasScheme.allCases)
  func aTileIsAPartOfTheWhole(_ scheme: BiasScheme) throws {
    let bias = try scheme.make(heads: 2)
    func write(_ queries: Range<Int>, _ keys: Range<Int>) throws -> [Float] {
      var output = [Float](repeating: 0, count: 2 * queries.count * keys.count)
      var span = output.mutableSpan
      try Kernels.auto.writeBias(
        bias, into: &span,
        shape: AttentionShape(heads: 2, queries: queries.count, keys: keys.count),
        queries: .sequential(offset: queries.lowerBound),
        keys: .sequential(offset: keys.lowerBound), mask: .causal)
      return output
    }
    let whole = try write(0..<90, 0..<90)
    for (queries, keys) in [(0..<1, 0..<90), (40..<73, 11..<64), (89..<90, 0..<90)] {
      let tile = try write(queries, keys)
      var part: [Float] = []
      for h in 0..<2 {
        for i in queries { part += keys.map { whole[(h * 90 + i) * 90 + $0] } }
      }
      expectSameBits(tile, part, "\(scheme), \(queries), \(keys)")
    }
  }

  /// The fast path of FIRE computes in Double too, in another order.
  @Test func firesPiecesAreItsNetwork() throws {
    var random = SeededGenerator(seed: 3)
    let count = FIRE.parameterCount(heads: 3, width: 32)
    var parameters = (0..<count).map { _ in Float.random(in: -1...1, using: &random) }
    (parameters[count - 2], parameters[count - 1]) = (0.1, 0.05)
    parameters[4] = 0
    let fire = try FIRE(heads: 3, parameters: makeTable(parameters, dim: count))
    var output = [Float](repeating: 0, count: 3 * 60 * 60)
    var span = output.mutableSpan
    try Kernels.auto.writeBias(
      fire, into: &span, shape: AttentionShape(heads: 3, queries: 60, keys: 60))
    let exact = (0..<output.count).map {
      fire.value(head: $0 / 3600, query: $0 / 60 % 60, key: $0 % 60)
    }
    expectNear(output, exact, tolerance: 1e-6, "FIRE")
  }

  /// Central differences of the Double formula, of each parameter of each scheme.
  @Test(arguments: ["t5", "kerple", "power", "fire", "swin"])
  func gradientsAreSlopes(_ name: String) throws {
    var random = SeededGenerator(seed: 5)
    let (heads, size) = (2, 12)
    func table(_ rows: Int, _ dim: Int) throws -> EmbeddingTable<Float> {
      let values = (0..<rows * dim).map { _ in Float.random(in: 0.3...0.9, using: &random) }
      return try makeTable(values, dim: dim)
    }
    let parameters: EmbeddingTable<Float>
    let make: (EmbeddingTable<Float>) throws -> any TrainedBias
    switch name {
    case "t5":
      parameters = try table(8, heads)
      make = {
        try DistanceTable(
          T5Bias(
            DistanceBuckets(count: 8, maximumDistance: 9, direction: .bidirectional), weights: $0))
      }
    case "kerple", "power":
      parameters = try table(2, heads)
      make = { try DistanceTable(KERPLE(name == "power" ? .power : .logarithmic, parameters: $0)) }
    case "fire":
      parameters = try table(1, FIRE.parameterCount(heads: heads, width: 6))
      make = { try FIRE(heads: heads, width: 6, initialThreshold: 9.2, parameters: $0) }
    default:
      parameters = try table(5 * 7, heads)
      make = { try SwinBias(rows: 3, columns: 4, weights: $0) }
    }
    let shape = AttentionShape(heads: heads, queries: size, keys: size)
    let upstream = (0..<heads * size * size).map { _ in Float.random(in: -1...1, using: &random) }
    func loss() throws -> Double {
      let bias = try make(parameters)
      var sum = 0.0
      for (i, g) in upstream.enumerated() where i % size <= i / size % size {
        sum +=
          Double(g)
          * bias.value(head: i / (size * size), query: i / size % size, key: i % size)
      }
      return sum
    }
    let bias = try make(parameters)
    var gradient = [Float](repeating: 0, count: bias.parameterCount)
    var workspace = try BiasWorkspace()
    var span = gradient.mutableSpan
    try Kernels.auto.addBiasGradient(
      bias, logitsGradient: upstream.span, shape: shape, mask: .causal, workspace: &workspace,
      into: &span)
    let step: Float = 0x1p-10
    for i in 0..<gradient.count {
      func moved(by step: Float) throws -> Double {
        let old = unsafe parameters.unsafeBuffer[i]
        unsafe parameters.unsafeBuffer[i] = old + step
        let result = try loss()
        unsafe parameters.unsafeBuffer[i] = old
        return result
      }
      let slope = try (moved(by: step) - moved(by: -step)) / Double(2 * step)
      #expect(abs(Double(gradient[i]) - slope) < 2e-4, "\(name), parameter \(i)")
    }
  }

  @Test func gradientsHaveTheSameBitsOnAnyThreads() throws {
    var random = SeededGenerator(seed: 9)
    let bias = try #require(try BiasScheme.t5.make(heads: 5) as? DistanceTable)
    let upstream = random.floats(2 * 5 * 70 * 70)
    let shape = AttentionShape(batch: 2, heads: 5, queries: 70, keys: 70)
    func gradient(_ kernels: Kernels) throws -> [Float] {
      var gradient = [Float](repeating: 0, count: bias.parameterCount)
      var workspace = try BiasWorkspace()
      var span = gradient.mutableSpan
      try kernels.addBiasGradient(
        bias, logitsGradient: upstream.span, shape: shape, mask: .causal, workspace: &workspace,
        into: &span)
      return gradient
    }
    let reference = try gradient(.simd.threads(1))
    for kernels in BiasFixtureTests.kernels {
      expectSameBits(try gradient(kernels), reference, "\(kernels)")
    }
  }

  @Test func tablesGrowUnderReaders() async throws {
    let table = try DistanceTable(ALiBi(heads: 2))
    let wrong = try await withThrowingTaskGroup(of: Int.self) { group in
      for task in 0..<8 {
        group.addTask {
          var wrong = 0
          for round in 1...40 {
            let offset = (task + 1) * round * 13
            var output = [Float](repeating: 0, count: 2 * 3 * 5)
            var span = output.mutableSpan
            try Kernels.auto.writeBias(
              table, into: &span, shape: AttentionShape(heads: 2, queries: 3, keys: 5),
              queries: .sequential(offset: offset))
            for (i, value) in output.enumerated() {
              let distance = offset + i / 5 % 3 - i % 5
              let slope: Float = i < 15 ? 0.0625 : 0.00390625
              if value != -slope * Float(distance) { wrong += 1 }
            }
          }
          return wrong
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(wrong == 0)
  }
}
