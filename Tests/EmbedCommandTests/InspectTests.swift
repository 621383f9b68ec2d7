// `inspect`: what files hold, in every format, as a shell shows it.

import EmbedFiles
import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct InspectTests {
  static let fixtures = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "EmbedFilesTests/Fixtures").path

  /// A line's words.
  private func words(_ line: String) -> [String] {
    line.split(separator: " ").map(String.init)
  }

  @Test func showsAGGUFFile() throws {
    let path = Self.fixtures + "/gguf/model.gguf"
    let result = try embedkernel(["inspect", path])
    #expect(result.code == 0 && result.errors.isEmpty)
    #expect(
      result.lines == [
        "file     '\(path)', GGUF version 3",
        "tensors  3, 2200 bytes (2.20 kB)",
        "Tensors",
        "  name                       type  shape    bytes",
        "  token_embd.weight          Q8_0  [6, 64]    408",
        "  output_norm.weight         F32   [64]       256",
        "  decoded.token_embd.weight  F32   [6, 64]   1536",
        "Metadata",
        "  general.architecture    string     \"llama\"",
        "  general.name            string     \"small\"",
        "  llama.vocab_size        uint32     6",
        "  llama.embedding_length  uint32     64",
        "  tokenizer.ggml.tokens   string[6]  [\"<0>\", \"<1>\", \"<2>\", \"<3>\", \"<4>\", \"<5>\"]",
      ])
  }

  @Test func showsEveryKindOfValue() throws {
    let result = try embedkernel(["inspect", Self.fixtures + "/gguf/values.gguf"])
    #expect(result.code == 0)
    let facts = Dictionary(
      result.lines.map { (words($0)[0], words($0).dropFirst().joined(separator: " ")) }
    ) { first, _ in first }
    #expect(facts["a.int8"] == "int8 -100")
    #expect(facts["a.uint64"] == "uint64 18446744073709551615")
    #expect(facts["a.float32"] == "float32 0.1")
    #expect(facts["a.float64"] == "float64 1e-300")
    #expect(facts["a.bool"] == "bool true")
    #expect(facts["a.string"] == "string \"a \\\"text\\\" \u{2192} \u{1D518}\\t\"")
    #expect(facts["a.integers"] == "int32[3] [1, -2, 3]")
    #expect(facts["a.nested"] == "array[2] [[1, 2], [3]]")
  }

  @Test func showsSafetensorsAndShards() throws {
    let folder = try TemporaryFolder()
    func save(_ name: String, _ tensors: [SafetensorsTensor], _ metadata: [String: String]) throws {
      var writer = try SafetensorsWriter(folder.path(name), tensors: tensors, metadata: metadata)
      for tensor in tensors {
        let bytes = [UInt8](
          repeating: 0, count: tensor.shape.reduce(tensor.type.byteCount ?? 0, *))
        try writer.write(tensor.name, bytes: unsafe bytes.span.bytes)
      }
      try writer.commit()
    }
    try save(
      "a.safetensors",
      [.init("b\nc", .float16, shape: [2, 3]), .init("scalar", .float8e4m3, shape: [])],
      ["format": "pt", "long": String(repeating: "x", count: 300)])
    try save("b.safetensors", [.init("wte.weight", .bfloat16, shape: [4, 2])], ["format": "pt"])
    _ = try folder.file(
      "model.safetensors.index.json",
      """
      {"metadata": {}, "weight_map": {"wte.weight": "b.safetensors", "scalar": "a.safetensors"}}
      """)
    let one = try embedkernel(["inspect", folder.path("a.safetensors")])
    #expect(one.code == 0)
    #expect(one.lines.contains("  b\\nc    F16      [2, 3]     12"))
    #expect(one.lines.contains("  scalar  F8_E4M3  []          1"))
    #expect(
      one.lines.contains { $0.hasPrefix("  long    string  \"xxx") && $0.hasSuffix("x\"...") })
    #expect(one.lines.allSatisfy { $0.count < 130 })

    for path in [folder.path("model.safetensors.index.json"), folder.url.path] {
      let all = try embedkernel(["inspect", path])
      #expect(all.lines[0] == "file     '\(path)', safetensors in 2 files")
      #expect(all.lines[1] == "tensors  2, 17 bytes")
      #expect(all.lines.contains("  wte.weight  BF16     [4, 2]     16"))
      let named = try embedkernel(["inspect", path + ":wte.weight"])
      #expect(named.lines[1] == "tensors  1, 16 bytes")
      #expect(!named.output.contains("Metadata"))
    }
    let missing = try embedkernel(
      ["inspect", folder.path("model.safetensors.index.json") + ":wpe.weight"])
    #expect(missing.code == 1)
    #expect(missing.errors.contains("\"wpe.weight\""))
  }

  @Test func showsNumPyFiles() throws {
    let folder = try TemporaryFolder()
    let path = try folder.array("ids.npy", [1, 2, 3 as Int64], [3])
    let array = try embedkernel(["inspect", path])
    #expect(array.lines.contains("  (no name)  int64  [3]       24"))
    var writer = try NumPyArchiveWriter(folder.path("two.npz"))
    try writer.write("table", [0.5, 1 as Float].span, shape: [1, 2])
    try writer.write("mask", [1 as UInt8].span, shape: [])
    try writer.commit()
    let archive = try embedkernel(["inspect", folder.path("two.npz")])
    #expect(archive.lines[0].hasSuffix("NumPy archive"))
    #expect(archive.lines.contains("  table  float32  [1, 2]      8"))
    #expect(archive.lines.contains("  mask   uint8    []          1"))
  }

  /// All of it, in full, for programs.
  @Test func writesAnObject() throws {
    let path = Self.fixtures + "/gguf/model.gguf"
    let model = try JSONValue(parsing: try embedkernel(["inspect", path, "--json"]).output)
    #expect(model["file"] == .string(path))
    #expect(model["format"] == .string("GGUF version 3"))
    #expect(model["bytes"] == .integer(2200))
    func object(_ members: (String, JSONValue)...) -> JSONValue {
      .object(members.map { JSONMember(key: $0.0, value: $0.1) })
    }
    guard case .array(let tensors) = model["tensors"], case .array(let facts) = model["metadata"]
    else {
      Issue.record("no tensors or metadata")
      return
    }
    #expect(tensors.count == 3 && facts.count == 5)
    #expect(
      tensors.first
        == object(
          ("name", .string("token_embd.weight")), ("type", .string("Q8_0")),
          ("shape", .array([.integer(6), .integer(64)])), ("bytes", .integer(408))))
    #expect(
      facts.last
        == object(
          ("key", .string("tokenizer.ggml.tokens")), ("type", .string("string[]")),
          ("value", .array((0..<6).map { .string("<\($0)>") }))))

    // Values of every type; of arrays and texts more than the tables show.
    let values = try embedkernel(["inspect", "--json", Self.fixtures + "/gguf/values.gguf"])
    let parsed = try JSONValue(parsing: values.output)
    guard case .array(let found) = parsed["metadata"] else {
      Issue.record("no metadata")
      return
    }
    func value(_ key: String) -> JSONValue? { found.first { $0["key"] == .string(key) }?["value"] }
    #expect(value("a.int8") == .integer(-100))
    #expect(values.output.contains("\"value\": 18446744073709551615"))
    #expect(value("a.float64") == .number(1e-300))
    #expect(value("a.bool") == .bool(true))
    #expect(value("a.string") == .string("a \"text\" \u{2192} \u{1D518}\t"))
    #expect(
      value("a.nested")
        == .array([.array([.integer(1), .integer(2)]), .array([.integer(3)])]))

    let folder = try TemporaryFolder()
    let array = try folder.array("ids.npy", [1, 2, 3 as Int64], [3])
    let ids = try JSONValue(parsing: try embedkernel(["inspect", array, "--json"]).output)
    #expect(
      ids["tensors"]
        == .array([
          object(
            ("name", .null), ("type", .string("int64")), ("shape", .array([.integer(3)])),
            ("bytes", .integer(24)))
        ]))
    #expect(ids["metadata"] == .array([]))
  }

  @Test func refusesWhatIsWrong() throws {
    let folder = try TemporaryFolder()
    let big = try embedkernel(["inspect", Self.fixtures + "/gguf/big-endian.gguf"])
    #expect(big.code == 1 && big.output.isEmpty)
    #expect(big.errors.contains("is a big-endian GGUF file"))
    let none = try embedkernel(["inspect", folder.path("none.gguf")])
    #expect(none.code == 1 && none.errors.contains("none.gguf"))
    #expect(try embedkernel(["inspect"]).code == 2)
  }

  /// A shape that holds nothing, though its other sizes are more than can be multiplied.
  @Test func countsNothingInAnEmptyTensor() throws {
    let folder = try TemporaryFolder()
    let header =
      #"{"t":{"dtype":"F32","shape":[4611686018427387904,2,0],"data_offsets":[0,0]}}"#
    var bytes = (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) }
    bytes += Array(header.utf8)
    let path = folder.path("empty.safetensors")
    try Data(bytes).write(to: URL(filePath: path))
    for words in [
      ["inspect", path], ["convert", path, "--output", folder.path("out.safetensors")],
    ] {
      #expect(try embedkernel(words).code == 0)
    }
  }
}
