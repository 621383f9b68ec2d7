// Cases of bags, and what they should give.

import EmbedKernel
import EmbedRows
import ReferenceKernels
import TestSupport
import Testing

/// Ids in bags, with a table.
struct BagCase: Sendable, CustomTestStringConvertible {
  let name: String
  let lengths: [Int]
  let dim: Int
  var vocabulary = 23
  var paddingID: Int?
  var unknownIDs = UnknownIDs.error
  var seed: UInt64 = 1

  var testDescription: String { "\(name), dim \(dim), seed \(seed)" }

  static let ragged = [3, 0, 1, 17, 0, 0, 2, 40]

  /// Shapes of bags, and dims around a step of columns.
  static let all: [BagCase] =
    [1, 31, 32, 33, 300].map { BagCase(name: "ragged", lengths: ragged, dim: $0) } + [
      BagCase(name: "equal", lengths: [4, 4, 4, 4], dim: 33),
      BagCase(name: "one id a bag", lengths: [Int](repeating: 1, count: 20), dim: 33),
      BagCase(name: "all empty", lengths: [0, 0, 0], dim: 33),
      BagCase(name: "no bags", lengths: [], dim: 33),
      BagCase(name: "one id", lengths: [1], dim: 1),
      BagCase(name: "huge among small", lengths: [1, 0, 700, 2], dim: 100),
      BagCase(name: "padding", lengths: ragged, dim: 70, vocabulary: 4, paddingID: 2),
      BagCase(name: "all padding", lengths: [3, 1], dim: 8, vocabulary: 1, paddingID: 0),
      BagCase(name: "unknown zeros", lengths: ragged, dim: 33, unknownIDs: .zeroRow),
      BagCase(
        name: "unknown clamped onto padding", lengths: ragged, dim: 33, vocabulary: 5, paddingID: 4,
        unknownIDs: .clamp),
    ]

  var count: Int { lengths.reduce(0, +) }

  var ids: [Int] {
    var generator = SeededGenerator(seed: seed)
    let spread = unknownIDs == .error ? 0..<vocabulary : -3..<vocabulary + 3
    return (0..<count).map { _ in Int.random(in: spread, using: &generator) }
  }

  func floats(_ count: Int, _ salt: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed &+ salt)
    return generator.floats(count)
  }

  var table: [Float] { floats(vocabulary * dim, 100) }
  var weights: [Float] { floats(count, 200) }
  var outputGradient: [Float] { floats(lengths.count * dim, 300) }
  var options: BagOptions { BagOptions(paddingID: paddingID, unknownIDs: unknownIDs) }

  /// What each id reads.
  var reads: [ReferenceID] {
    ids.map { id in
      var row = id
      if row < 0 || row >= vocabulary {
        if unknownIDs == .zeroRow { return .zeros }
        row = max(0, min(row, vocabulary - 1))
      }
      return row == paddingID ? .leftOut : .row(row)
    }
  }

  var offsets: [Int] { lengths.indices.map { lengths[..<$0].reduce(0, +) } }

  func expected(
    _ pool: BagPool, weights: [Float]? = nil, table: [Float]? = nil
  ) -> (output: [Float], winners: [Int32]) {
    Reference.bag(
      reads, lengths: lengths, weights: weights, table: table ?? self.table, dim: dim,
      pool: pool.reference)
  }
}

extension BagPool {
  var reference: ReferencePool {
    switch self {
    case .sum: .sum
    case .mean: .mean
    case .max: .max
    }
  }
}

/// How a case's bags are told.
enum BagLayout: String, CaseIterable, Sendable {
  case offsets
  case offsetsWithLast
  case offsets32
  case lengths
  case lengths32
  case rectangle
}

extension BagCase {
  /// Whether the layout can tell these bags.
  func has(_ layout: BagLayout) -> Bool { layout != .rectangle || Set(lengths).count == 1 }

  /// Calls `body` with the bags told so.
  func with(_ layout: BagLayout, _ body: (borrowing Bags) throws -> Void) throws {
    let (starts, small) = (offsets, offsets.map(Int32.init))
    let ends = offsets + [count]
    let (sizes, smallSizes) = (lengths, lengths.map(Int32.init))
    switch layout {
    case .offsets: try body(.offsets(starts))
    case .offsetsWithLast: try body(.offsets(ends, last: .included))
    case .offsets32: try body(.offsets(small))
    case .lengths: try body(.lengths(sizes))
    case .lengths32: try body(.lengths(smallSizes))
    case .rectangle: try body(.rectangle(batch: lengths.count, bag: lengths.first ?? 0))
    }
  }

  /// The output of a call.
  func output(
    _ pool: BagPool, weights: [Float]? = nil, told layout: BagLayout = .offsets,
    by kernels: Kernels
  ) throws -> [Float] {
    let table = try EmbeddingTable<Float>(rows: vocabulary, dim: dim, copying: table.span)
    var output = [Float](repeating: .nan, count: lengths.count * dim)
    let (ids, options) = (ids, options)
    try with(layout) { bags in
      try kernels.bag(
        ids: ids, in: bags, weights: weights, tokens: table, pool: pool, options: options,
        into: &output)
    }
    return output
  }
}

/// Every way of computing: backends, threads and instruction sets, with limits that take small calls the
/// ways of large ones.
func everyWay() -> [(name: String, kernels: Kernels)] {
  var ways: [(name: String, kernels: Kernels)] = [("auto", .auto)]
  for large in [false, true] {
    var limits = Tuning()
    if large {
      limits.parallelBytes = 64
      limits.prefetchBytes = 0
      limits.streamingBytes = 0
    }
    for threads in [1, 2, 5] {
      for backend in Backend.allCases {
        for set in backend == .native ? InstructionSet.allCases.filter(\.isAvailable) : [.plain] {
          var kernels = Kernels(
            backend: backend, threads: threads, instructionSet: backend == .native ? set : nil)
          kernels.tuning = limits
          ways.append(("\(backend) \(set) \(threads) \(large ? "large" : "small")", kernels))
        }
      }
    }
  }
  return ways
}

/// Whether two results have the same bits.
func sameBits(_ a: [Float], _ b: [Float]) -> Bool {
  a.map(\.bitPattern) == b.map(\.bitPattern)
}
