// Tables whose rows are a file's pages: the same bits as in memory, faults as errors, and how much of a file
// is in memory.

import EmbedFiles
import EmbedKernel
import EmbedModels
import EmbedRows
import Foundation
import TestSupport
import Testing

/// A table `[rows, dim]` in a file, and the same rows in memory.
struct MappedPair {
  let folder: TemporaryFolder
  let path: String
  let inMemory: RowTable
  let rows: Int

  init(
    rows: Int = 3_000, dim: Int = 256, _ format: RowFormat = .float32, shift: Int = 0
  ) throws {
    self.rows = rows
    folder = try TemporaryFolder()
    path = folder.path("table.safetensors")
    var generator = SeededGenerator(seed: UInt64(rows + dim))
    let floats = try EmbeddingTable<Float>(rows: rows, dim: dim)
    for i in 0..<rows * dim {
      unsafe floats.unsafeBuffer[i] = Float.random(in: -2...2, using: &generator)
    }
    inMemory = try RowTable(quantizing: floats, as: format)
    let type: SafetensorsType =
      switch format {
      case .float32: .float32
      case .float16: .float16
      case .bfloat16: .bfloat16
      case .int8, .int8Half: .int8
      case .fp8, .fp8Row, .fp8Block32, .fp8Block128, .fp8Block128Float: .float8e4m3
      default: .uint8
      }
    var tensors = [
      // Rows then begin at no multiple of their elements' size.
      SafetensorsTensor("shift", .uint8, shape: [shift]),
      SafetensorsTensor(
        "rows", type,
        shape: type == .uint8 ? [rows, try format.rowBytes(dim: dim)] : [rows, dim]),
    ]
    let scaleBytes = inMemory.scaleBytes.count
    let scaleType: SafetensorsType =
      switch format {
      case .int8Half: .float16
      case .fp8Block32, .fp8Block128: .float8e8m0
      default: .float32
      }
    if scaleBytes > 0 {
      let size = scaleType.byteCount ?? 1
      tensors.append(
        SafetensorsTensor("rows_scale", scaleType, shape: [rows, scaleBytes / rows / size]))
    }
    var writer = try SafetensorsWriter(path, tensors: tensors)
    let filler = [UInt8](repeating: 1, count: shift)
    try writer.write("shift", filler.span)
    try unsafe writer.write("rows", bytes: inMemory.rowBytes.bytes)
    if scaleBytes > 0 { try unsafe writer.write("rows_scale", bytes: inMemory.scaleBytes.bytes) }
    try writer.commit()
  }

  func map(_ limit: Int? = nil) throws -> RowTable {
    let hasScales = inMemory.scaleBytes.count > 0
    let isTold = [.float32, .float16, .bfloat16, .int8, .int8Half].contains(inMemory.format)
    return try RowTable(
      mapping: path, tensor: "rows", format: isTold ? nil : inMemory.format,
      scales: hasScales ? "rows_scale" : nil, residentLimit: limit)
  }

  func ids(_ count: Int, seed: UInt64 = 1) -> [Int64] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in Int64.random(in: 0..<Int64(rows), using: &generator) }
  }
}

func embed(
  _ table: RowTable, _ ids: [Int64], threads: Int = 1
) throws(EmbedError) -> [Float] {
  var output = [Float](repeating: .nan, count: ids.count * table.dim)
  try Kernels.auto.threads(threads).embed(
    ids: ids, tokens: table,
    shape: EmbeddingShape(
      vocabulary: table.rows, batch: 1, context: ids.count, dim: table.dim), into: &output)
  return output
}

func pool(
  _ table: RowTable, _ ids: [Int64], of count: Int, threads: Int = 1
) throws(EmbedError) -> [Float] {
  let bags = ids.count / count
  var output = [Float](repeating: .nan, count: bags * table.dim)
  try Kernels.auto.threads(threads).bag(
    ids: ids, in: .rectangle(batch: bags, bag: count), tokens: table, pool: .sum, into: &output)
  return output
}

@Suite struct MappedTableTests {
  @Test(arguments: RowFormat.allCases, [nil, 1 << 20])
  func mappedRowsAreThoseInMemory(_ format: RowFormat, _ limit: Int?) throws {
    let pair = try MappedPair(rows: 700, format, shift: 3)
    let table = try pair.map(limit)
    #expect((table.rows, table.dim, table.format) == (700, 256, format))
    let ids = pair.ids(2_000)
    #expect(try table.prefetch(ids) > 0)
    for threads in [1, 3] {
      #expect(try embed(table, ids, threads: threads) == embed(pair.inMemory, ids))
      #expect(
        try pool(table, ids, of: 20, threads: threads) == pool(pair.inMemory, ids, of: 20))
      // Bags of all ids, which are cut by columns.
      #expect(
        try pool(table, ids, of: 2_000, threads: threads)
          == pool(pair.inMemory, ids, of: 2_000))
    }
    let decoded = try table.decoded(), expected = try pair.inMemory.decoded()
    #expect(decoded.span.array == expected.span.array)
    var gradients = [Float](repeating: 0, count: ids.count), others = gradients
    let output = [Float](repeating: 0.5, count: 100 * 256)
    let bags = Bags.rectangle(batch: 100, bag: 20)
    try Kernels.auto.bagWeightGradient(
      output, ids: ids, in: bags, tokens: table, into: &gradients)
    try Kernels.auto.bagWeightGradient(
      output, ids: ids, in: bags, tokens: pair.inMemory, into: &others)
    #expect(gradients == others)
  }

  @Test func positionsAndUnknownIDsWithALimit() throws {
    let pair = try MappedPair(rows: 2_000)
    let table = try pair.map(1 << 20)
    let positions = try EmbeddingTable<Float>(rows: 40, dim: 256)
    for i in 0..<40 * 256 { unsafe positions.unsafeBuffer[i] = Float(i) }
    var ids = pair.ids(1_200)
    for unknown in [false, true] {
      if unknown { (ids[7], ids[900]) = (-1, 2_000) }
      for (batch, context) in [(30, 40), (300, 4)] {
        let shape = EmbeddingShape(vocabulary: 2_000, batch: batch, context: context, dim: 256)
        for policy in unknown ? [UnknownIDs.clamp, .zeroRow] : [.error] {
          var output = [Float](repeating: 0, count: 1_200 * 256), expected = output
          let options = EmbedOptions(scale: 2, unknownIDs: policy)
          #expect(try table.prefetch(ids, unknownIDs: policy) > 0)
          for threads in [1, 3] {
            let kernels = Kernels.auto.threads(threads)
            try kernels.embed(
              ids: ids, tokens: table, positions: positions, shape: shape, options: options,
              into: &output)
            try kernels.embed(
              ids: ids, tokens: pair.inMemory, positions: positions, shape: shape,
              options: options, into: &expected)
            #expect(output == expected)
          }
        }
      }
    }
  }

  @Test func unknownIDsAreRefusedBeforeAnythingIsRead() throws {
    let pair = try MappedPair(rows: 10)
    for table in [try pair.map(), pair.inMemory] {
      #expect(
        throws: EmbedError.tokenOutOfRange(id: 10, batchRow: 0, position: 2, vocabulary: 10)
      ) { try table.prefetch([0, 1, 10] as [Int32]) }
      #expect(try table.prefetch([0, 1, 10, -4] as [Int], unknownIDs: .clamp) == 4)
      #expect(try table.prefetch([0, 1, 10, -4] as [Int], unknownIDs: .zeroRow) == 4)
      #expect(try table.prefetch([] as [Int]) == 0)
    }
  }

  @Test func limitsThatAreTooSmall() throws {
    let pair = try MappedPair(rows: 10)
    #expect(
      throws: MappedTableError.embed(
        .invalidSize(
          argument: "resident limit", value: 1_000, expected: "1048576 bytes or more"))
    ) { try pair.map(1_000) }
  }

  /// The book-keeping is for the table at most: of the limit it would be 8 GB and more.
  @Test(arguments: [1 << 40, Int.max]) func limitsThatNothingReaches(_ limit: Int) throws {
    let pair = try MappedPair(rows: 100)
    let table = try pair.map(limit)
    let all = (0..<Int64(100)).map { $0 }
    #expect(try table.prefetch(all) == 100)
    #expect(try embed(table, all) == embed(pair.inMemory, all))
  }

  /// Ids in order and in reverse, of more bytes than are read in large pages, over parts of pages.
  @Test(arguments: [768, 17]) func prefetchOfAllRows(_ dim: Int) throws {
    let pair = try MappedPair(rows: (9 << 20) / 4 / dim, dim: dim, shift: 3)
    let ids = (0..<Int64(pair.rows)).map { $0 }
    for ids in [ids, ids.reversed(), Array(ids[5...])] {
      let table = try pair.map()
      for stage in [PrefetchStage.started, .finished] {
        #expect(try table.prefetch(ids, until: stage) == ids.count)
      }
      #expect(try embed(table, ids) == embed(pair.inMemory, ids))
    }
  }

  @Test func whatFilesDoNotTellIsRefused() throws {
    let pair = try MappedPair(rows: 10, .fp8Row)
    for (format, scales) in [(nil, "rows_scale"), (nil, nil), (.int8, nil)]
      as [(RowFormat?, String?)]
    {
      #expect(throws: MappedTableError.self) {
        try RowTable(mapping: pair.path, tensor: "rows", format: format, scales: scales)
      }
    }
    #expect(throws: MappedTableError.self) {
      try RowTable(mapping: pair.path, tensor: "rows_scale", format: .bfloat16)
    }
    #expect(throws: MappedTableError.self) { try RowTable(mapping: pair.path, tensor: "row") }
    #expect(throws: MappedTableError.self) {
      try RowTable(mapping: pair.path + "x", tensor: "rows")
    }
  }

  @Test func shardedModelsAndGGUFAreMapped() throws {
    let pair = try MappedPair(rows: 300)
    let index = #"{"weight_map": {"rows": "table.safetensors"}}"#
    _ = try pair.folder.file("model.safetensors.index.json", index)
    let ids = pair.ids(50)
    let expected = try embed(pair.inMemory, ids)
    for path in [pair.folder.url.path, pair.folder.path("model.safetensors.index.json")] {
      #expect(try embed(RowTable(mapping: path, tensor: "rows"), ids) == expected)
    }
    let quantised = try RowTable(quantizing: pair.inMemory.decoded(), as: .q8_0)
    let path = pair.folder.path("model.gguf")
    var writer = try GGUFWriter(
      path,
      tensors: [
        GGUFTensor("token_embd.weight", .init(name: "Q8_0") ?? .float32, shape: [300, 256])
      ])
    try unsafe writer.write("token_embd.weight", bytes: quantised.rowBytes.bytes)
    try writer.commit()
    let table = try RowTable(mapping: path, tensor: "token_embd.weight", residentLimit: 1 << 20)
    #expect(table.format == .q8_0)
    #expect(try embed(table, ids) == embed(quantised, ids))
  }

  /// Of a file of 34 GB that is nearly all holes, rows past 2^31.
  @Test(arguments: [nil, 4 << 20])
  func rowsPastTwoToTheThirtyFirst(_ limit: Int?) throws {
    let folder = try TemporaryFolder()
    let rows = (1 << 31) + 100, dim = 8
    let header =
      #"{"rows":{"dtype":"BF16","shape":[\#(rows),\#(dim)],"data_offsets":[0,\#(rows * dim * 2)]}}"#
    let padded = header + String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
    var bytes = (0..<8).map { UInt8(truncatingIfNeeded: padded.utf8.count >> (8 * $0)) }
    bytes += Array(padded.utf8)
    let path = try folder.file("table.safetensors", bytes)
    let file = try #require(FileHandle(forUpdatingAtPath: path))
    try file.truncate(atOffset: UInt64(bytes.count + rows * dim * 2))
    let far: [Int64] = [Int64(rows) - 1, 1 << 31, (1 << 31) - 1, 1 << 30, 0]
    for (i, row) in far.enumerated() {
      try file.seek(toOffset: UInt64(bytes.count) + UInt64(row) * 16)
      let values = [UInt16](repeating: BFloat16(Float(i + 1)).bitPattern, count: dim)
      try file.write(contentsOf: unsafe values.withUnsafeBytes { unsafe Data($0) })
    }
    try file.close()
    let table = try RowTable(mapping: path, tensor: "rows", residentLimit: limit)
    #expect(table.rows == rows)
    #expect(try table.prefetch(far) == far.count)
    let expected = (0..<far.count).flatMap { [Float](repeating: Float($0 + 1), count: dim) }
    for threads in [1, 3] {
      #expect(try embed(table, far, threads: threads) == expected)
      #expect(try pool(table, far, of: 1, threads: threads) == expected)
    }
    var last = [Float](repeating: 0, count: dim)
    try table.decode(rows - 1..<rows, into: &last)
    #expect(last == [Float](repeating: 1, count: dim))
    #expect(
      throws: EmbedError.tokenOutOfRange(
        id: Int64(rows), batchRow: 0, position: 0, vocabulary: rows)
    ) { try embed(table, [Int64(rows)]) }
  }
}
