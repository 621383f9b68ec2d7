// Token tables of every form from files, through `embed` and `bag`: GGUF's blocks against what gguf decodes,
// int8 and fp8 with scales as models have them against their formulas in plain loops.

import EmbedFiles
import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct RowTableFileTests {
  static let gguf = InspectTests.fixtures + "/gguf"

  /// The rows of a table that `embed` gives, each by its id.
  private func rows(
    _ table: String, _ count: Int, _ more: [String] = []
  ) throws -> (shape: [Int], elements: [Float]) {
    let folder = try TemporaryFolder()
    let ids = try folder.array("ids.npy", (0..<Int64(count)).map { $0 }, [1, count])
    let output = folder.path("out.npy")
    let result = try embedkernel(
      ["embed", "--token-ids", ids, "--token-table", table, "--output", output] + more)
    try #require(result.code == 0, "\(result.errors)")
    return try floats(output)
  }

  // MARK: GGUF

  @Test(arguments: ["q8_0", "q4_0", "q4_k", "q6_k"])
  func decodesBlocksAsGGUFDoes(name: String) throws {
    let file = try GGUF(contentsOf: Self.gguf + "/blocks.gguf")
    let decoded = try file.elements(of: "decoded.\(name)", as: Float.self)
    let expected = decoded.indices.map { decoded[$0].bitPattern }
    let found = try rows("\(file.path):\(name)", 5)
    #expect(found.elements.map(\.bitPattern) == expected)
  }

  /// Without a name, and with positions, a scale and a row that counts as zero.
  @Test func findsTheTokenTable() throws {
    let file = try GGUF(contentsOf: Self.gguf + "/model.gguf")
    let span = try file.elements(of: "decoded.token_embd.weight", as: Float.self)
    let table = span.indices.map { span[$0] }
    #expect(try rows(file.path, 6).elements == table)
    let folder = try TemporaryFolder()
    let places = (0..<6 * 64).map { Float($0) / 7 }
    let positions = try folder.array("positions.npy", places, [6, 64])
    let expected = zip(table, places).map { 2.5 * $0 + $1 }
    let found = try rows(file.path, 6, ["--position-table", positions, "--scale", "2.5"])
    #expect(found.elements == expected)
    let cleared = try rows(file.path, 6, ["--padding-id", "2"])
    #expect(cleared.elements[128..<192].allSatisfy { $0 == 0 })
    #expect(cleared.elements[..<128] == table[..<128])
    let padded = try rows(
      file.path, 6, ["--padding-id", "2", "--position-table", positions, "--scale", "2.5"])
    #expect(
      padded.elements[..<128] == expected[..<128] && padded.elements[192...] == expected[192...])
    #expect(padded.elements[128..<192] == places[128..<192])
    let ids = try folder.array("ids.npy", [0 as Int64], [1, 1])
    let beyond = try embedkernel(
      ["embed", "--token-ids", ids, "--token-table", file.path, "--padding-id", "6"])
    #expect(beyond.code == 1 && beyond.errors.contains("padding id is 6; expected an id of 0...5"))
    let sines = try rows(file.path, 6, ["--positions", "sinusoidal"])
    #expect(sines.elements[1] == table[1] + 1)
  }

  @Test func refusesBlocksThatHaveNoRows() throws {
    let folder = try TemporaryFolder()
    let ids = try folder.array("ids.npy", [0 as Int64], [1, 1])
    let result = try embedkernel(
      ["embed", "--token-ids", ids, "--token-table", Self.gguf + "/blocks.gguf:q5_k"])
    #expect(result.code == 1)
    #expect(result.errors.contains("\"q5_k\": expected elements of type F32, F16, BF16, Q8_0"))
    #expect(result.errors.contains("found Q5_K"))
  }

  // MARK: Scales

  /// A table with what stands beside it, and the factor of each element.
  struct Scaled: Sendable, CustomStringConvertible {
    let description: String
    var type = SafetensorsType.float8e4m3
    var rows = 3
    var dim = 40
    let scales: String
    let scaleType: SafetensorsType
    let shape: [Int]
    /// Which of the scales an element has.
    let index: @Sendable (_ row: Int, _ column: Int) -> Int
    var divisor: Float = 1
    var form: String

    var count: Int { shape.reduce(1, *) }

    /// Scale i: a power of two where the type has no others.
    func scale(_ i: Int) -> Float {
      scaleType == .float8e8m0 || scaleType == .uint8
        ? Float(sign: .plus, exponent: i % 11 - 5, significand: 1)
        : BFloat16(0.01 * Float(i + 1)).float
    }

    var scaleBytes: [UInt8] {
      (0..<count).flatMap { i -> [UInt8] in
        switch scaleType {
        case .float32: littleEndian(scale(i).bitPattern)
        case .bfloat16: littleEndian(BFloat16(scale(i)).bitPattern)
        case .float16: littleEndian(Half(scale(i)).bitPattern)
        default: [UInt8(i % 11 + 122)]
        }
      }
    }

    /// The scale as the file has it.
    func stored(_ i: Int) -> Float {
      (scaleType == .float16 ? Half(scale(i)).float : scale(i)) / divisor
    }

    /// Finite elements of many sizes.
    func weight(_ i: Int) -> UInt8 {
      let byte = UInt8(truncatingIfNeeded: i * 37 + 11)
      return type == .float8e4m3 && byte & 0x7F == 0x7F ? 0x38 : byte
    }

    func decoded(_ i: Int) -> Float {
      let byte = weight(i)
      guard type == .float8e4m3 else { return Float(Int8(bitPattern: byte)) }
      let (exponent, fraction) = (Int(byte >> 3 & 15), Float(byte & 7))
      let magnitude =
        exponent == 0
        ? fraction * 0x1p-9
        : (1 + fraction / 8) * Float(sign: .plus, exponent: exponent - 7, significand: 1)
      return byte & 0x80 == 0 ? magnitude : -magnitude
    }

    var expected: [Float] {
      (0..<rows * dim).map { decoded($0) * stored(index($0 / dim, $0 % dim)) }
    }

    func write(_ path: String, table: String = "model.embed_tokens.weight") throws {
      let base = table.split(separator: ".").dropLast().joined(separator: ".")
      var tensors = [SafetensorsTensor(table, type, shape: [rows, dim])]
      if !scales.isEmpty {
        tensors.append(SafetensorsTensor("\(base).\(scales)", scaleType, shape: shape))
      }
      tensors.append(SafetensorsTensor("\(base).input_scale", .float32, shape: []))
      tensors.append(SafetensorsTensor("lm_head.weight", .float32, shape: [1]))
      var writer = try SafetensorsWriter(path, tensors: tensors)
      let weights = (0..<rows * dim).map { weight($0) }
      try writer.write(table, bytes: unsafe weights.span.bytes)
      if !scales.isEmpty {
        let bytes = scaleBytes
        try writer.write("\(base).\(scales)", bytes: unsafe bytes.span.bytes)
      }
      try writer.write("\(base).input_scale", [2 as Float].span)
      try writer.write("lm_head.weight", [2 as Float].span)
      try writer.commit()
    }
  }

  static let scaled: [Scaled] = [
    Scaled(
      description: "fp8, one scale", scales: "weight_scale", scaleType: .float32, shape: [],
      index: { _, _ in 0 }, form: "fp8_row"),
    Scaled(
      description: "fp8, one in brackets", scales: "weight_scale", scaleType: .bfloat16, shape: [1],
      index: { _, _ in 0 }, form: "fp8_row"),
    Scaled(
      description: "fp8, a scale a row", scales: "weight_scale", scaleType: .float32,
      shape: [3, 1],
      index: { row, _ in row }, form: "fp8_row"),
    Scaled(
      description: "fp8, bfloat16 scales", scales: "weight_scale", scaleType: .bfloat16,
      shape: [3, 1], index: { row, _ in row }, form: "fp8_row"),
    Scaled(
      description: "fp8, powers of two a row", scales: "scale", scaleType: .float8e8m0, shape: [3],
      index: { row, _ in row }, form: "fp8_row"),
    Scaled(
      description: "DeepSeek's blocks", rows: 300, dim: 260, scales: "weight_scale_inv",
      scaleType: .float32, shape: [3, 3], index: { row, column in row / 128 * 3 + column / 128 },
      form: "fp8_block128_f32"),
    Scaled(
      description: "blocks of powers of two", rows: 129, dim: 128, scales: "weight_scale_inv",
      scaleType: .float8e8m0, shape: [2, 1], index: { row, _ in row / 128 }, form: "fp8_block128"),
    Scaled(
      description: "fewer rows than a block", rows: 5, dim: 256, scales: "weight_scale_inv",
      scaleType: .bfloat16, shape: [1, 2], index: { _, column in column / 128 },
      form: "fp8_block128_f32"),
    Scaled(
      description: "1 x 128", rows: 3, dim: 300, scales: "weight_scale_inv", scaleType: .float32,
      shape: [3, 3], index: { row, column in row * 3 + column / 128 }, form: "fp8_block128_f32"),
    Scaled(
      description: "MXFP8", rows: 3, dim: 100, scales: "weight_scale", scaleType: .uint8,
      shape: [3, 4], index: { row, column in row * 4 + column / 32 }, form: "fp8_block32"),
    Scaled(
      description: "MXFP8 by type", rows: 2, dim: 64, scales: "weight_scale",
      scaleType: .float8e8m0,
      shape: [2, 2], index: { row, column in row * 2 + column / 32 }, form: "fp8_block32"),
    Scaled(
      description: "MXFP8 of one block a row", rows: 3, dim: 32, scales: "weight_scale",
      scaleType: .uint8, shape: [3, 1], index: { row, _ in row }, form: "fp8_block32"),
    Scaled(
      description: "bytes of 1 x 128 of one block a row", rows: 3, dim: 128, scales: "weight_scale",
      scaleType: .uint8, shape: [3, 1], index: { row, _ in row }, form: "fp8_block128"),
    Scaled(
      description: "int8, a scale a row", type: .int8, scales: "weight_scale", scaleType: .float32,
      shape: [3, 1], index: { row, _ in row }, form: "int8"),
    Scaled(
      description: "int8, float16 scales", type: .int8, scales: "weight_scale", scaleType: .float16,
      shape: [3], index: { row, _ in row }, form: "int8_f16"),
    Scaled(
      description: "int8, one bfloat16 scale", type: .int8, scales: "weight_scale",
      scaleType: .bfloat16, shape: [1, 1], index: { _, _ in 0 }, form: "int8"),
    Scaled(
      description: "bitsandbytes' int8", type: .int8, scales: "SCB", scaleType: .float32,
      shape: [3],
      index: { row, _ in row }, divisor: 127, form: "int8"),
  ]

  @Test(arguments: scaled)
  func multipliesAsThePublishersDo(_ test: Scaled) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("model.safetensors")
    try test.write(path)
    let found = try rows(path, test.rows)
    #expect(found.shape == [1, test.rows, test.dim])
    #expect(found.elements == test.expected)
    // The same by its shard, and what the report calls it.
    _ = try folder.file(
      "model.safetensors.index.json",
      """
      {"weight_map": {"model.embed_tokens.weight": "model.safetensors", \
      "model.embed_tokens.\(test.scales)": "model.safetensors"}}
      """)
    let ids = try folder.array("ids.npy", [0, 1 as Int64], [1, 2])
    for table in [folder.path("model.safetensors.index.json"), folder.url.path] {
      let report = try embedkernel(
        [
          "embed", "--token-ids", ids, "--token-table", table, "--output", folder.path("out.npy"),
        ])
      #expect(report.code == 0)
      #expect(report.errors.contains("'\(table)', \(test.form)\n"), "\(report.errors)")
    }
  }

  /// Scales that a shard has, and the index does not list.
  @Test func refusesScalesThatTheIndexOmits() throws {
    let folder = try TemporaryFolder()
    try Self.scaled[2].write(folder.path("model.safetensors"))
    let index = try folder.file(
      "model.safetensors.index.json",
      #"{"weight_map": {"model.embed_tokens.weight": "model.safetensors"}}"#)
    let ids = try folder.array("ids.npy", [0 as Int64], [1, 1])
    for more in [[], ["--resident", "1048576"]] {
      let result = try embedkernel(["embed", "--token-ids", ids, "--token-table", index] + more)
      #expect(result.code == 1)
      #expect(result.errors.contains("model.embed_tokens.weight_scale"), "\(result.errors)")
    }
  }

  @Test func takesPlainFP8AsItIs() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("plain.safetensors")
    let plain = Scaled(
      description: "", scales: "", scaleType: .float32, shape: [], index: { _, _ in 0 }, form: "fp8"
    )
    try plain.write(path)
    #expect(try rows(path, 3).elements == (0..<120).map { plain.decoded($0) })
  }

  @Test func refusesTypesThatHaveNoRows() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("e5m2.safetensors")
    var writer = try SafetensorsWriter(
      path, tensors: [.init("wte.weight", .float8e5m2, shape: [2, 2])])
    let bytes: [UInt8] = [1, 2, 3, 4]
    try writer.write("wte.weight", bytes: unsafe bytes.span.bytes)
    try writer.commit()
    let ids = try folder.array("ids.npy", [0 as Int64], [1, 1])
    let result = try embedkernel(["embed", "--token-ids", ids, "--token-table", path])
    #expect(result.code == 1)
    #expect(
      result.errors.contains(
        "\"wte.weight\": expected elements of type F32, F16, BF16, I8 or F8_E4M3, found F8_E5M2"),
      "\(result.errors)")
  }

  /// What stands beside a table and is not understood: the rows would be wrong without it.
  @Test(arguments: [
    ("weight_scales", SafetensorsType.float32, [3, 1], "what it does to the rows is not known"),
    ("weight_scale_2", .float32, [], "what it does to the rows is not known"),
    ("weight_scale", .float32, [2, 1], "expected shape [], [1], [3], [3, 1], or a scale for each"),
    ("weight_scale", .float32, [40], "found [40]"),
    ("weight_scale", .float32, [1, 1, 3], "found [1, 1, 3]"),
    (
      "weight_scale", .float64, [3],
      "expected elements of type F32, F16, BF16 or F8_E8M0, found F64"
    ),
    ("weight_scale", .uint8, [3], "found U8"),
    ("weight_scale", .float32, [3, 2], "expected a power of two"),
    ("SCB", .float32, [3], "are for int8 rows"),
    ("weight_zero_point", .int8, [3], "expected zeros"),
  ])
  func refusesWhatIsNotUnderstood(
    _ name: String, _ type: SafetensorsType, _ shape: [Int], _ told: String
  ) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("model.safetensors")
    let names = ["wte.weight", "wte.\(name)"]
    var writer = try SafetensorsWriter(
      path,
      tensors: [
        .init(names[0], .float8e4m3, shape: [3, 40]), .init(names[1], type, shape: shape),
      ])
    let weights = [UInt8](repeating: 1, count: 120)
    let other = [UInt8](repeating: 3, count: shape.reduce(type.byteCount ?? 0, *))
    try writer.write(names[0], bytes: unsafe weights.span.bytes)
    try writer.write(names[1], bytes: unsafe other.span.bytes)
    try writer.commit()
    let ids = try folder.array("ids.npy", [0 as Int64], [1, 1])
    let output = folder.path("out.npy")
    let result = try embedkernel(
      ["embed", "--token-ids", ids, "--token-table", path, "--output", output])
    #expect(result.code == 1)
    #expect(result.errors.contains(told), "\(result.errors)")
    #expect(result.errors.contains(path))
    #expect(!FileManager.default.fileExists(atPath: output))
  }

  /// Scales by names that do not follow from the table's: without them fp8 rows would be read as they are.
  @Test(arguments: [
    ("wte.weight._data", "wte.weight._scale", true), ("wte.weight_qdata", "wte.weight_scale", true),
    ("wte.qweight", "wte.scales", true), ("table", "scale", true), ("table", "SCB", true),
    ("wte.qweight", "wte.input_scale", false), ("wte.qweight", "wpe.weight_scale", false),
    ("wte.q", "other_scale", false),
  ])
  func refusesScalesOfUnknownNames(_ table: String, _ scales: String, _ isRefused: Bool) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("model.safetensors")
    var writer = try SafetensorsWriter(
      path,
      tensors: [
        .init(table, .float8e4m3, shape: [1, 2]), .init(scales, .float32, shape: [1]),
        .init("other", .float32, shape: [1]), .init("other_scale_of_it", .float32, shape: [1]),
      ])
    let weights: [UInt8] = [0x38, 0x40]
    try writer.write(table, bytes: unsafe weights.span.bytes)
    for name in [scales, "other", "other_scale_of_it"] {
      try writer.write(name, [3 as Float].span)
    }
    try writer.commit()
    guard isRefused else {
      #expect(try rows("\(path):\(table)", 1).elements == [1, 2])
      return
    }
    let ids = try folder.array("ids.npy", [0 as Int64], [1, 1])
    let result = try embedkernel(["embed", "--token-ids", ids, "--token-table", "\(path):\(table)"])
    #expect(result.code == 1)
    #expect(
      result.errors.contains("are \"\(scales)\" the scales of the rows?"), "\(result.errors)")
    // The option says that they are.
    #expect(
      try rows("\(path):\(table)", 1, ["--row-scales", "\(path):\(scales)"]).elements == [3, 6])
  }

  @Test func refusesInt8WithoutScalesAndTwoScales() throws {
    let folder = try TemporaryFolder()
    let ids = try folder.array("ids.npy", [0 as Int64], [1, 1])
    let weights = try folder.array("w.npy", [1, 2, 3, 4 as Int8], [2, 2])
    let none = try embedkernel(["embed", "--token-ids", ids, "--token-table", weights])
    #expect(none.code == 1 && none.errors.contains("int8 rows need scales"))
    // From a file of their own.
    let scales = try folder.array("s.npy", [0.5, 2 as Float], [2])
    #expect(try rows(weights, 2, ["--row-scales", scales]).elements == [0.5, 1, 6, 8])
    let path = folder.path("two.safetensors")
    let names = ["wte.weight", "wte.weight_scale", "wte.SCB"]
    var writer = try SafetensorsWriter(
      path,
      tensors: [
        .init(names[0], .int8, shape: [1, 2]), .init(names[1], .float32, shape: [1]),
        .init(names[2], .float32, shape: [1]),
      ])
    try writer.write(names[0], [1, 2 as Int8].span)
    try writer.write(names[1], [1 as Float].span)
    try writer.write(names[2], [1 as Float].span)
    try writer.commit()
    let two = try embedkernel(["embed", "--token-ids", ids, "--token-table", path])
    #expect(two.code == 1 && two.errors.contains("which scales are meant"))
  }

  @Test func listsTablesThatCouldBeMeant() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("two.safetensors")
    let names = ["a.wte.weight", "b.wte.weight"]
    var writer = try SafetensorsWriter(
      path, tensors: names.map { .init($0, .float32, shape: [1, 1]) })
    for name in names { try writer.write(name, [1 as Float].span) }
    try writer.commit()
    let ids = try folder.array("ids.npy", [0 as Int64], [1, 1])
    let result = try embedkernel(["embed", "--token-ids", ids, "--token-table", path])
    #expect(result.code == 1)
    #expect(names.allSatisfy { result.errors.contains("\"\($0)\"") }, "\(result.errors)")
    #expect(try rows(path + ":b.wte.weight", 1).elements == [1])
  }

  // MARK: Bytes

  @Test func readsBytesAsTheOptionSays() throws {
    let folder = try TemporaryFolder()
    // FBGEMM's 4 bits: 1 and 2, 3 and 15, then scale 0.5 and bias -1 in half precision.
    var row: [UInt8] = [0x21, 0xF3]
    row += littleEndian(Half(0.5).bitPattern)
    row += littleEndian(Half(-1).bitPattern)
    let bytes = try folder.array("rows.npy", row, [1, 6])
    #expect(try rows(bytes, 1, ["--rows", "int4"]).elements == [-0.5, 0, 0.5, 6.5])
    let ids = try folder.array("ids.npy", [0 as Int64], [1, 1])
    func errors(_ more: String...) throws -> String {
      let result = try embedkernel(["embed", "--token-ids", ids, "--token-table", bytes] + more)
      #expect(result.code != 0)
      return result.errors
    }
    #expect(try errors().contains("what are these bytes of [1, 6]?"))
    #expect(try errors("--rows", "q8_0").contains("no row of q8_0 takes 6 bytes"))
    #expect(try errors("--rows", "int8").contains("int8 rows need scales"))
    #expect(try errors("--rows", "q9").contains("'q9' is none of"))
    let floats = try folder.array("floats.npy", [1 as Float], [1, 1])
    let given = try embedkernel(
      ["embed", "--token-ids", ids, "--token-table", floats, "--rows", "int4"])
    #expect(given.code == 2 && given.errors.contains("is for tables of uint8"))
  }
}

/// The lowest byte first.
private func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
  (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}
