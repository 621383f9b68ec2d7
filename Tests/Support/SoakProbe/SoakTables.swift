// What the threads call: tables of each kind, batches of ids, and what one thread makes of them.

import EmbedFiles
import EmbedKernel
import EmbedRows
import Foundation
import TestSupport

/// A table that is read, with a hash of what each batch gives.
struct SoakReader: Sendable {
  let name: String
  let table: RowTable
  /// Of `embed` and of `bag`, a batch each.
  let embedded: [UInt64]
  let pooled: [UInt64]
}

/// The table that counts: each step adds 1 to rows. And one of AdamW, which must come to a replay's bits.
struct SoakTrained: ~Copyable {
  static let rows = 64
  static let dim = 8
  let table: EmbeddingTable<Float>
  let optimizer: TableOptimizer
  var workspace: BagWorkspace
  var steps = 0

  init(_ rule: UpdateRule) throws(EmbedError) {
    let table = try EmbeddingTable<Float>(rows: Self.rows, dim: Self.dim)
    let optimizer = try TableOptimizer(rule, for: table)
    workspace = try BagWorkspace()
    self.table = table
    self.optimizer = optimizer
  }

  /// The rows of a step, which follow from its number alone.
  static func ids(of step: Int) -> [Int64] {
    (0..<4).map { Int64((step &* 31 &+ $0 &* 17) % rows) }
  }

  /// Steps by a gradient that is the same for all columns.
  mutating func step(_ gradient: [Float], _ kernels: Kernels) throws(EmbedError) {
    try optimizer.step(
      bagGradient: gradient, ids: Self.ids(of: steps), in: .rectangle(batch: 4, bag: 1), pool: .sum,
      using: kernels, workspace: &workspace)
    steps += 1
  }
}

final class SoakTables: Sendable {
  static let batch = 256
  static let bag = 16
  static let batches = 32
  static let dim = 256
  static let rows = 16_384
  /// Of the bounded table, whose file is four times as large.
  static let limit = rows * dim * 4 / 4

  let folder: TemporaryFolder
  let path: String
  let ids: [[Int64]]
  let floats: EmbeddingTable<Float>
  let readers: [SoakReader]
  /// Whole numbers, so that every order of the steps gives the same bits.
  let counting: Guarded<SoakTrained>
  let adam: Guarded<SoakTrained>
  static let counts = [Float](repeating: -1, count: 4 * SoakTrained.dim)
  static let gradients = (0..<4 * SoakTrained.dim).map { Float($0 % 7) / 8 - 0.375 }

  static func countingRule() throws(EmbedError) -> UpdateRule {
    try .sgd(learningRate: .constant(1))
  }
  static func adamRule() throws(EmbedError) -> UpdateRule {
    try .adamW(learningRate: .constant(1e-3), untouched: .left)
  }

  init(seed: UInt64) throws {
    folder = try TemporaryFolder()
    path = folder.path("table.safetensors")
    var generator = SeededGenerator(seed: seed)
    let floats = try EmbeddingTable<Float>(rows: Self.rows, dim: Self.dim)
    for i in 0..<Self.rows * Self.dim {
      unsafe floats.unsafeBuffer[i] = Float.random(in: -1...1, using: &generator)
    }
    self.floats = floats
    var writer = try SafetensorsWriter(
      path, tensors: [SafetensorsTensor("rows", .float32, shape: [Self.rows, Self.dim])])
    try writer.write("rows", floats.span)
    try writer.commit()
    var ids: [[Int64]] = []
    for _ in 0..<Self.batches {
      ids.append(
        (0..<Self.batch).map { _ in Int64.random(in: 0..<Int64(Self.rows), using: &generator) })
    }
    self.ids = ids
    let tables: [(String, RowTable)] = [
      ("float32 in memory", try RowTable(sharing: floats)),
      ("q8_0 in memory", try RowTable(quantizing: floats, as: .q8_0)),
      ("float32 mapped", try RowTable(mapping: path, tensor: "rows")),
      (
        "float32 mapped within a limit",
        try RowTable(mapping: path, tensor: "rows", residentLimit: Self.limit)
      ),
    ]
    readers = try tables.map { name, table in
      var output = [Float](repeating: 0, count: Self.batch * Self.dim)
      var sums = [Float](repeating: 0, count: Self.batch / Self.bag * Self.dim)
      return SoakReader(
        name: name, table: table,
        embedded: try ids.map { try Self.embed(table, $0, &output, Kernels.auto.threads(1)) },
        pooled: try ids.map { try Self.pool(table, $0, &sums, Kernels.auto.threads(1)) })
    }
    counting = Guarded(try SoakTrained(Self.countingRule()))
    adam = Guarded(try SoakTrained(Self.adamRule()))
  }

  static func embed(
    _ table: RowTable, _ ids: [Int64], _ output: inout [Float], _ kernels: Kernels
  ) throws(EmbedError) -> UInt64 {
    try kernels.embed(
      ids: ids, tokens: table,
      shape: EmbeddingShape(vocabulary: rows, batch: 1, context: batch, dim: dim), into: &output)
    return hash(output, batch * dim)
  }

  static func pool(
    _ table: RowTable, _ ids: [Int64], _ output: inout [Float], _ kernels: Kernels
  ) throws(EmbedError) -> UInt64 {
    try kernels.bag(
      ids: ids, in: .rectangle(batch: batch / bag, bag: bag), tokens: table, pool: .sum,
      into: &output)
    return hash(output, batch / bag * dim)
  }

  /// Of the bits, in order.
  private static func hash(_ values: [Float], _ count: Int) -> UInt64 {
    let values = values.span
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for i in 0..<count { hash = (hash ^ UInt64(values[i].bitPattern)) &* 0x100_0000_01B3 }
    return hash
  }

  /// Whether the trained tables lost a step, or took one in another way than a thread alone.
  func trainedFaults(_ state: SoakState) throws -> [String] {
    var faults: [String] = []
    let steps = state.steps
    let counted = counting.withLock { (trained) -> (steps: Int, rows: [Float]) in
      (trained.steps, unsafe Array(trained.table.unsafeBuffer))
    }
    var expected = [Float](repeating: 0, count: SoakTrained.rows)
    for step in 0..<steps.counting {
      for id in SoakTrained.ids(of: step) { expected[Int(id)] += 1 }
    }
    if counted.steps != steps.counting {
      faults.append("\(steps.counting) steps were made, and \(counted.steps) are counted")
    }
    for i in 0..<counted.rows.count where counted.rows[i] != expected[i / SoakTrained.dim] {
      faults.append(
        "row \(i / SoakTrained.dim), column \(i % SoakTrained.dim) took \(counted.rows[i]) steps of "
          + "\(expected[i / SoakTrained.dim])")
      break
    }
    let trained = adam.withLock { unsafe Array($0.table.unsafeBuffer) }
    var alone = try SoakTrained(Self.adamRule())
    for _ in 0..<steps.adam { try alone.step(Self.gradients, Kernels.auto.threads(1)) }
    let replayed = unsafe Array(alone.table.unsafeBuffer)
    if trained.map(\.bitPattern) != replayed.map(\.bitPattern) {
      faults.append("AdamW after \(steps.adam) steps differs from a thread alone")
    }
    return faults
  }
}
