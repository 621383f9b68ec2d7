// `convert --rows`, and GGUF files made of others and back.

import EmbedFiles
import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct ConvertRowsTests {
  private let rows = 5
  private let dim = 256
  private let table: [Float]

  init() {
    var random = SeededGenerator(seed: 4)
    table = (0..<5 * 256).map { _ in Float.random(in: -1...1, using: &random) }
  }

  /// A model of a table, a tensor that is kept, and texts.
  private func model(_ folder: TemporaryFolder) throws -> String {
    let path = folder.path("model.safetensors")
    var writer = try SafetensorsWriter(
      path,
      tensors: [
        .init("model.embed_tokens.weight", .float32, shape: [rows, dim]),
        .init("model.norm.weight", .float16, shape: [3]),
      ], metadata: ["format": "pt"])
    try writer.write("model.embed_tokens.weight", table.span)
    try writer.write("model.norm.weight", [Half(1), Half(2), Half(3)].span)
    try writer.commit()
    return path
  }

  @Test func writesInt8WithItsScalesBeside() throws {
    let folder = try TemporaryFolder()
    let source = try model(folder)
    let path = folder.path("int8.safetensors")
    let result = try embedkernel(["convert", source, path, "--rows", "int8"])
    try #require(result.code == 0, "\(result.errors)")
    // 4 bytes an element before, 1 and a scale a row after.
    #expect(
      result.errors.contains(
        "\"model.embed_tokens.weight\" [5, 256]: float32, 5120 bytes, to int8, 1300 bytes (0.2539 of them)"
      ), "\(result.errors)")
    let file = try Safetensors(contentsOf: path)
    let metadata = file.header.metadata
    #expect(metadata == ["format": "pt"])
    let weights = try file.elements(of: "model.embed_tokens.weight", as: Int8.self)
    let scales = try file.elements(of: "model.embed_tokens.weight_scale", as: Float.self)
    let kept = try file.elements(of: "model.norm.weight", as: Half.self)
    #expect(kept[2] == Half(3))
    var (largest, squares) = (0.0, 0.0)
    for row in 0..<rows {
      let most = table[row * dim..<(row + 1) * dim].map(\.magnitude).max() ?? 0
      #expect(scales[row] == most / 127)
      for column in 0..<dim {
        let i = row * dim + column
        #expect(Float(weights[i]) == (table[i] / scales[row]).rounded(.toNearestOrEven))
        let error = Double(Float(weights[i]) * scales[row]) - Double(table[i])
        largest = max(largest, error.magnitude)
        squares += error * error
      }
    }
    let mean = Float((squares / Double(rows * dim)).squareRoot())
    #expect(result.errors.contains("error max \(Float(largest)), rms \(mean)"), "\(result.errors)")
  }

  /// The forms that say themselves what they are, and what they weigh.
  @Test(arguments: [
    ("int8_f16", "safetensors", 1290), ("fp8", "safetensors", 1300),
    ("fp8_plain", "safetensors", 1280), ("fp8_block32", "safetensors", 1320),
    ("fp8_block128", "safetensors", 1290), ("fp8_block128_f32", "safetensors", 1320),
    ("int4", "safetensors", 660), ("fbgemm8", "safetensors", 1320), ("q8_0", "safetensors", 1360),
    ("bf16", "safetensors", 2560), ("q8_0", "gguf", 1360), ("q4_0", "gguf", 720),
    ("q4_k", "gguf", 720), ("q6_k", "gguf", 1050), ("f16", "gguf", 2560),
  ])
  func readsWhatItWrites(_ form: String, _ ending: String, _ bytes: Int) throws {
    let folder = try TemporaryFolder()
    let source = try model(folder)
    let path = folder.path("rows.\(ending)")
    let made = try embedkernel(["convert", source, path, "--rows", form])
    try #require(made.code == 0, "\(made.errors)")
    #expect(made.errors.contains(", \(bytes) bytes ("), "\(made.errors)")
    // Decoded again, from the file and from what `embed` reads of it.
    let back = try embedkernel(
      ["convert", path, "--output", folder.path("back.safetensors"), "--rows", "f32"])
    try #require(back.code == 0, "\(back.errors)")
    let file = try Safetensors(contentsOf: folder.path("back.safetensors"))
    #expect(Set(file.names) == ["model.embed_tokens.weight", "model.norm.weight"])
    let metadata = file.header.metadata
    #expect(metadata == ["format": "pt"])
    let span = try file.elements(of: "model.embed_tokens.weight", as: Float.self)
    let decoded = span.indices.map { span[$0] }
    let worst = zip(decoded, table).map { abs($0 - $1) }.max() ?? 1
    #expect(worst > 0 && worst < 0.15)
    let ids = try folder.array("ids.npy", (0..<Int64(rows)).map { $0 }, [rows, 1])
    let embed = try embedkernel(
      ["embed", "--token-ids", ids, "--token-table", path, "--output", folder.path("out.npy")])
    try #require(embed.code == 0, "\(embed.errors)")
    #expect(try floats(folder.path("out.npy")).elements == decoded)
  }

  /// Rows no longer than a block, whose scales have the shape of scales by row.
  @Test(arguments: [("fp8_block32", 32), ("fp8_block128", 100), ("fp8_block128_f32", 128)])
  func readsRowsOfOneBlockFromAnArchive(_ form: String, _ dim: Int) throws {
    let folder = try TemporaryFolder()
    let source = try folder.array("t.npy", Array(table[..<(rows * dim)]), [rows, dim])
    let ids = try folder.array("ids.npy", (0..<Int64(rows)).map { $0 }, [rows, 1])
    var found: [[Float]] = []
    for (path, more) in [("r.npz", ["--rows", form]), ("r.safetensors", [])] {
      let made = try embedkernel([
        "convert", source, folder.path(path), "--rows", form, "--tensor-name", "wte.weight",
      ])
      try #require(made.code == 0, "\(made.errors)")
      let embed = try embedkernel(
        [
          "embed", "--token-ids", ids, "--token-table", folder.path(path), "--output",
          folder.path("out.npy"),
        ] + more)
      try #require(embed.code == 0, "\(embed.errors)")
      found.append(try floats(folder.path("out.npy")).elements)
    }
    #expect(found[0] == found[1])
    #expect(zip(found[0], table).allSatisfy { abs($0 - $1) <= abs($1) / 7 + 0.001 })
  }

  @Test func writesNumPyFilesWhereItCan() throws {
    let folder = try TemporaryFolder()
    let source = try folder.array("t.npy", table, [rows, dim])
    let int4 = try embedkernel(["convert", source, folder.path("r.npy"), "--rows", "int4"])
    try #require(int4.code == 0, "\(int4.errors)")
    #expect(try NumPyHeader(contentsOf: folder.path("r.npy")).shape == [rows, dim / 2 + 4])
    let int8 = try embedkernel(["convert", source, folder.path("i.npy"), "--rows", "int8"])
    #expect(int8.code == 1 && int8.errors.contains("the scales are an array of their own"))
    let archive = try embedkernel(
      ["convert", source, folder.path("i.npz"), "--rows", "int8", "--tensor-name", "table"])
    try #require(archive.code == 0, "\(archive.errors)")
    #expect(
      try Set(NumPyArchive(contentsOf: folder.path("i.npz")).names) == ["table", "table_scale"])
    let ids = try folder.array("ids.npy", [3 as Int64], [1, 1])
    let embed = try embedkernel(
      [
        "embed", "--token-ids", ids, "--token-table", folder.path("i.npz") + ":table", "--output",
        folder.path("out.npy"),
      ])
    try #require(embed.code == 0, "\(embed.errors)")
    let found = try floats(folder.path("out.npy")).elements
    let most = table[3 * dim..<4 * dim].map(\.magnitude).max() ?? 0
    for column in 0..<dim { #expect(abs(found[column] - table[3 * dim + column]) <= most / 250) }
  }

  @Test func refusesWhatHasNoPlace() throws {
    let folder = try TemporaryFolder()
    let source = try model(folder)
    let cases: [([String], Int32, String)] = [
      (
        ["r.gguf", "--rows", "int8"], 1,
        ".gguf files have no rows of int8: they have f32, f16, bf16, q8_0"
      ),
      (["r.gguf", "--rows", "int8", "--type", "float16"], 2, "exclude each other"),
      (["r.safetensors", "--output", "s.safetensors", "--rows", "int8"], 2, "OUT is given"),
      (["r.bin", "--rows", "int8"], 2, "ends in none of"),
      (["r.safetensors", "--rows", "int8", "--tensors", "model.norm.weight"], 1, "[rows, dim]"),
      (["r.safetensors", "s.safetensors"], 2, "unexpected argument"),
      ([], 2, "--output is needed"),
    ]
    for (words, code, told) in cases {
      let files = words.map { $0.contains(".") && !$0.hasPrefix("model") ? folder.path($0) : $0 }
      let result = try embedkernel(["convert", source] + files)
      #expect(result.code == code && result.errors.contains(told), "\(words): \(result.errors)")
    }
    let odd = try folder.array("odd.npy", [1, 2, 3 as Float], [1, 3])
    let blocks = try embedkernel(["convert", odd, folder.path("o.gguf"), "--rows", "q8_0"])
    #expect(blocks.code == 1 && blocks.errors.contains("a multiple of 32"), "\(blocks.errors)")
    let nan = try folder.array("nan.npy", [1, .nan, 3 as Float], [1, 3])
    let refused = try embedkernel([
      "convert", nan, folder.path("o.safetensors"), "--rows", "int8", "--tensor-name", "t",
    ])
    #expect(refused.code == 1 && refused.errors.contains("nan.npy"), "\(refused.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.path("o.gguf")))
    #expect(!FileManager.default.fileExists(atPath: folder.path("o.safetensors")))
  }

  @Test func convertsGGUFBothWays() throws {
    let folder = try TemporaryFolder()
    let source = RowTableFileTests.gguf + "/plain.gguf"
    // To itself: the same bytes.
    let same = try embedkernel(["convert", source, "--output", folder.path("same.gguf")])
    try #require(same.code == 0, "\(same.errors)")
    #expect(try fileBytes(folder.path("same.gguf")) == fileBytes(source))
    // To safetensors and back: the same tensors.
    let there = try embedkernel(["convert", source, "--output", folder.path("p.safetensors")])
    try #require(there.code == 0, "\(there.errors)")
    let back = try embedkernel(
      ["convert", folder.path("p.safetensors"), "--output", folder.path("back.gguf")])
    try #require(back.code == 0, "\(back.errors)")
    let old = try GGUF(contentsOf: source)
    let new = try GGUF(contentsOf: folder.path("back.gguf"))
    let architecture = new.header.value(of: "general.architecture")
    #expect(architecture == .string("llama"))
    for entry in old.header.tensors {
      let found = new.header.entry(entry.name)
      #expect(found?.type == entry.type && found?.shape == entry.shape)
      let one = try old.bytes(of: entry.name)
      let other = try new.bytes(of: entry.name)
      let isSame = unsafe one.withUnsafeBytes { one in
        unsafe other.withUnsafeBytes { unsafe one.elementsEqual($0) }
      }
      #expect(isSame, "\(entry.name)")
    }
    // Arrays of keys are no texts, and blocks no elements.
    let values = try embedkernel(
      [
        "convert", RowTableFileTests.gguf + "/values.gguf", "--output",
        folder.path("v.safetensors"),
      ])
    #expect(values.code == 0 && values.errors.contains("left out"))
    #expect(values.errors.contains("a.texts") && !values.errors.contains("a.uint8"))
    let blocks = try embedkernel(
      [
        "convert", RowTableFileTests.gguf + "/blocks.gguf", "--output",
        folder.path("b.safetensors"),
      ])
    #expect(blocks.code == 1)
    #expect(blocks.errors.contains("safetensors has no type for tensor \"q8_0\" of Q8_0"))
  }

  @Test func namesTheTableAsLlamaCppDoes() throws {
    let folder = try TemporaryFolder()
    let array = try folder.array("t.npy", table, [rows, dim])
    let made = try embedkernel(["convert", array, folder.path("t.gguf"), "--rows", "q4_k"])
    try #require(made.code == 0, "\(made.errors)")
    let names = try GGUFHeader(contentsOf: folder.path("t.gguf")).tensors.map(\.name)
    #expect(names == ["token_embd.weight"])
    let renamed = try embedkernel(
      ["convert", try model(folder), folder.path("m.gguf"), "--names", "gguf", "--rows", "q8_0"])
    try #require(renamed.code == 0, "\(renamed.errors)")
    let entries = try GGUFHeader(contentsOf: folder.path("m.gguf")).tensors
    #expect(Set(entries.map(\.name)) == ["token_embd.weight", "model.norm.weight"])
  }
}
