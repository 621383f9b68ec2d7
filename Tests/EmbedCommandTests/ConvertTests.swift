// `convert`: types, names, sizes, formats and rotary layouts; what no option changes keeps its bytes.

import EmbedCommand
import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct ConvertTests {
  private let folder: TemporaryFolder
  private let tokens = (0..<6 * 4).map { Float($0 * $0) / 7 - 3 }
  private let positions = (0..<3 * 4).map { Float($0) - 5 }
  private let projection = (0..<12 * 2).map { Float($0) }

  init() throws {
    folder = try TemporaryFolder()
    var writer = try SafetensorsWriter(
      folder.path("model.safetensors"),
      tensors: [
        SafetensorsTensor("wte.weight", .float32, shape: [6, 4]),
        SafetensorsTensor("wpe.weight", .float32, shape: [3, 4]),
        SafetensorsTensor("layers.0.q_proj.weight", .float32, shape: [12, 2]),
        SafetensorsTensor("layers.0.k_proj.bias", .int64, shape: [6]),
        SafetensorsTensor("counts", .int64, shape: [3]),
        SafetensorsTensor("strange", .float8e4m3, shape: [5]),
      ], metadata: ["format": "pt", "note": "\u{1}\"ü\n"])
    try writer.write("wte.weight", tokens.span)
    try writer.write("wpe.weight", positions.span)
    try writer.write("layers.0.q_proj.weight", projection.span)
    try writer.write("layers.0.k_proj.bias", ([0, 1, 2, 3, 4, 5] as [Int64]).span)
    try writer.write("counts", ([5, 6, 7] as [Int64]).span)
    let odd: [UInt8] = [1, 255, 128, 7, 9]
    try writer.write("strange", bytes: unsafe odd.span.bytes)
    try writer.commit()
    _ = try folder.array("table.npy", tokens, [6, 4])
  }

  private func convert(_ words: String) throws {
    let run = try folder.run("convert \(words)")
    try #require(run.code == 0, "\(run.errors)")
  }

  private func header(_ file: String) throws -> SafetensorsHeader {
    try SafetensorsHeader(contentsOf: folder.path(file))
  }

  private func bytes(_ file: String, _ name: String) throws -> [UInt8] {
    let tensors = try Safetensors(contentsOf: folder.path(file))
    let span = try tensors.bytes(of: name)
    return unsafe span.withUnsafeBytes { unsafe Array($0) }
  }

  private func tensor<Element: FileElement>(
    _ file: String, _ name: String, as type: Element.Type = Float.self
  ) throws -> [Element] {
    let tensors = try Safetensors(contentsOf: folder.path(file))
    let span: Span<Element> = try tensors.elements(of: name)
    return (0..<span.count).map { span[$0] }
  }

  /// Tensors that `out` has as the model has them.
  private func expectKept(_ out: String, _ names: [String]) throws {
    let (model, file) = (try header("model.safetensors"), try header(out))
    for name in names {
      let (kept, given) = (try bytes(out, name), try bytes("model.safetensors", name))
      #expect(kept == given, "\(name)")
      #expect(file.entry(name)?.type == model.entry(name)?.type)
      #expect(file.entry(name)?.shape == model.entry(name)?.shape)
    }
    for (key, text) in model.metadata { #expect(file.metadata[key] == text) }
    #expect(file.tensors.count == model.tensors.count)
  }

  @Test func typesAreRoundedOnce() throws {
    try convert("model.safetensors --type bfloat16 --output out.safetensors")
    try expectKept("out.safetensors", ["layers.0.k_proj.bias", "counts", "strange"])
    let narrow = try tensor("out.safetensors", "wte.weight", as: BFloat16.self)
    #expect(narrow == tokens.map { BFloat16($0) })
    // Back to float32, and to float16 by way of bfloat16, which is exact up to its own rounding.
    try convert("out.safetensors --type float16 --tensors wte.weight --output half.safetensors")
    let half = try tensor("half.safetensors", "wte.weight", as: Half.self)
    #expect(half == tokens.map { Half(BFloat16($0).float) })
    #expect(try header("half.safetensors").entry("wpe.weight")?.type == .bfloat16)
  }

  /// Float64 to sixteen bits in one rounding: by way of a float, ties would be rounded twice.
  @Test func doublesAreRoundedOnce() throws {
    let tie = 1 + 0x1p-8 + 0x1p-40
    let values = [tie, -tie, 1e300, -1e300, 1e-300, .infinity, 0, 1.0 / 3, 65_519.999_999, 3e-8]
    _ = try folder.array("doubles.npy", values, [values.count])
    try convert("doubles.npy --type bfloat16 --output b.npy")
    let narrow = try elements(folder.path("b.npy"), as: BFloat16.self).elements
    #expect(narrow[0].float == 1 + 0x1p-7 && narrow[1].float == -1 - 0x1p-7)
    #expect(narrow[2].float == .infinity && narrow[4].float == 0 && narrow[5].float == .infinity)
    try convert("doubles.npy --type float16 --output h.npy")
    let half = try elements(folder.path("h.npy"), as: Half.self).elements
    #expect(half[8].float == 65_504)
    #expect(half[9].float == 0x1p-24)
    try convert("doubles.npy --type float32 --output f.npy")
    #expect(try floats(folder.path("f.npy")).elements == values.map { Float($0) })
    #expect(roundedToOdd(tie).bitPattern & 1 == 1)
  }

  @Test func namesAreThoseOfTheScheme() throws {
    try convert("model.safetensors --names bert --output bert.safetensors")
    let rows = try tensor("bert.safetensors", "embeddings.word_embeddings.weight")
    #expect(rows == tokens)
    let names = try header("bert.safetensors").tensors.map(\.name)
    #expect(names.contains("embeddings.position_embeddings.weight"))
    #expect(names.contains("strange") && !names.contains("wte.weight"))
    try convert("bert.safetensors --names gpt2 --output back.safetensors")
    #expect(
      try fileBytes(folder.path("back.safetensors")) == fileBytes(folder.path("model.safetensors")))
    let llama = try folder.run("convert model.safetensors --names llama --output o.safetensors")
    #expect(llama.code == 1)
    #expect(llama.errors.contains(#"--names llama has no name for tensor "wpe.weight""#))
  }

  @Test func sizesChangeTheTables() throws {
    try convert(
      "model.safetensors --vocabulary 9 --new-rows mean --maximum-context 5 --output o.safetensors")
    try expectKept(
      "o.safetensors", ["layers.0.q_proj.weight", "layers.0.k_proj.bias", "counts", "strange"])
    #expect(try header("o.safetensors").entry("wte.weight")?.shape == [9, 4])
    let rows = try tensor("o.safetensors", "wte.weight")
    #expect(Array(rows.prefix(24)) == tokens)
    for i in 24..<36 {
      let mean = (0..<6).reduce(0.0) { $0 + Double(tokens[$1 * 4 + i % 4]) } / 6
      #expect(rows[i] == Float(mean))
    }
    let places = try tensor("o.safetensors", "wpe.weight")
    // Rows at 0, 1/2, 1, 3/2 and 2: whole and half numbers.
    for i in 0..<20 {
      let (row, d) = (i / 4, i % 4)
      let (a, b) = (positions[row / 2 * 4 + d], positions[(row + 1) / 2 * 4 + d])
      #expect(places[i] == (a + b) / 2)
    }
    try convert("table.npy --vocabulary 2 --output cut.npy")
    #expect(try floats(folder.path("cut.npy")).elements == Array(tokens.prefix(8)))
  }

  @Test func formatsHoldTheSame() throws {
    try convert("table.npy --tensor-name wte.weight --output t.safetensors")
    try convert("t.safetensors --output t.npz")
    try convert("t.npz:wte.weight --output back.npy")
    #expect(try fileBytes(folder.path("back.npy")) == fileBytes(folder.path("table.npy")))
    try convert("model.safetensors:wpe.weight --type float16 --output p.npy")
    let half = try elements(folder.path("p.npy"), as: Half.self)
    #expect(half.shape == [3, 4] && half.elements == positions.map { Half($0) })
    _ = try folder.array("mask.npy", [1, 0, 1] as [UInt8], [3])
    try convert("mask.npy --tensor-name m --output m.safetensors")
    try convert("m.safetensors --output mask2.npy")
    #expect(try fileBytes(folder.path("mask2.npy")) == fileBytes(folder.path("mask.npy")))
  }

  /// The model in two files, by their index.
  private func shard(
    _ texts: [String: String] = [:], _ otherTexts: [String: String] = [:]
  ) throws -> String {
    for (file, name, values, shape, metadata) in [
      ("model-1.safetensors", "wte.weight", tokens, [6, 4], texts),
      ("model-2.safetensors", "wpe.weight", positions, [3, 4], otherTexts),
    ] {
      var writer = try SafetensorsWriter(
        folder.path(file), tensors: [SafetensorsTensor(name, .float32, shape: shape)],
        metadata: metadata)
      try writer.write(name, values.span)
      try writer.commit()
    }
    let index = folder.path("sharded.json")
    try #"{"weight_map":{"wte.weight":"model-1.safetensors","wpe.weight":"model-2.safetensors"}}"#
      .write(toFile: index, atomically: true, encoding: .utf8)
    return index
  }

  @Test func shardsBecomeOneFile() throws {
    try convert("\(shard(["format": "pt"], ["format": "pt", "b": "2"])) --output o.safetensors")
    for name in ["wte.weight", "wpe.weight"] {
      #expect(try bytes("o.safetensors", name) == bytes("model.safetensors", name))
    }
    #expect(try header("o.safetensors").metadata == ["format": "pt", "b": "2"])
    try convert("\(shard()) --names bert --vocabulary 2 --output o.npz")
    let archive = try NumPyArchive(contentsOf: folder.path("o.npz"))
    let name = "embeddings.word_embeddings.weight"
    #expect(try archive.header(of: name).shape == [2, 4])
    #expect(archive.names == [name, "embeddings.position_embeddings.weight"])
  }

  @Test func shardsThatContradictEachOtherAreRefused() throws {
    let index = try shard(["embedkernel.rotary_layout": "half"], ["embedkernel.rotary_layout": "x"])
    let run = try folder.run("convert \(index) --output o.safetensors")
    #expect(run.code == 1)
    #expect(run.errors.contains(#"metadata "embedkernel.rotary_layout""#), "\(run.errors)")
    let layout = try folder.run(
      "convert \(index) --rotary-layout half --head-dim 4 --output o.safetensors")
    #expect(layout.code == 2)
    #expect(layout.errors.contains("convert '\(index)' to one first"))
    #expect(try folder.contents.allSatisfy { !$0.hasPrefix("o.") })
  }

  @Test(arguments: RotaryLayout.allCases) func layouts(_ target: RotaryLayout) throws {
    let source: RotaryLayout = target == .halves ? .interleaved : .halves
    try convert(
      "model.safetensors --rotary-layout \(target.rawValue) --from-layout \(source.rawValue) "
        + "--head-dim 6 --output o.safetensors")
    try expectKept("o.safetensors", ["wte.weight", "wpe.weight", "counts", "strange"])
    let order = target == .halves ? [0, 2, 4, 1, 3, 5] : [0, 3, 1, 4, 2, 5]
    let rows = try tensor("o.safetensors", "layers.0.q_proj.weight")
    for (i, value) in rows.enumerated() {
      let row = i / 12 * 6 + order[i / 2 % 6]
      #expect(value == projection[row * 2 + i % 2], "element \(i)")
    }
    #expect(rows.count == 24)
    let bias = try tensor("o.safetensors", "layers.0.k_proj.bias", as: Int64.self)
    #expect(bias == order.map { Int64($0) })
    let metadata = try header("o.safetensors").metadata
    #expect(metadata["embedkernel.rotary_layout"] == target.rawValue)
    // The file remembers its layout, so that the way back needs no more than the head's size.
    try convert(
      "o.safetensors --rotary-layout \(source.rawValue) --head-dim 6 --output back.safetensors")
    try expectKept("back.safetensors", ["layers.0.q_proj.weight", "layers.0.k_proj.bias"])
  }

  @Test(arguments: [
    ("model.safetensors --output o.npy", 1, "holds one array"),
    ("model.safetensors --output o.npz", 1, #"NumPy has no type for tensor "strange" of F8_E4M3"#),
    ("model.safetensors --output o.bin", 2, "ends in none of .safetensors, .gguf, .npz and .npy"),
    ("table.npy --output o.safetensors", 2, "--tensor-name is needed"),
    ("model.safetensors --tensor-name x --output o.safetensors", 2, "for a file of one array"),
    (
      "model.safetensors --type float16 --tensors counts --output o.safetensors", 1,
      #"tensor "counts""#
    ),
    ("model.safetensors --type float16 --tensors wtf --output o.safetensors", 1, #""wtf""#),
    ("model.safetensors --type int8 --output o.safetensors", 2, "'int8' is none of"),
    (
      "model.safetensors --new-rows mean --output o.safetensors", 2, "--new-rows needs --vocabulary"
    ),
    ("model.safetensors --rotary-layout half --output o.safetensors", 2, "needs --head-dim"),
    (
      "model.safetensors --rotary-layout half --head-dim 4 --output o.safetensors", 1,
      "embedkernel.rotary_layout"
    ),
    (
      "model.safetensors --rotary-layout half --from-layout half --type float16 --head-dim 4 "
        + "--output o.safetensors", 2, "--rotary-layout goes alone"
    ),
    (
      "model.safetensors --rotary-layout half --from-layout interleaved --head-dim 8 "
        + "--output o.safetensors", 1, "[heads * 8, inputs]"
    ),
    (
      "model.safetensors --head-dim 4 --output o.safetensors", 2, "--head-dim needs --rotary-layout"
    ),
    ("absent.safetensors --output o.npy", 1, "absent.safetensors"),
    ("model.safetensors:absent --output o.npy", 1, #""absent""#),
  ])
  func faults(_ words: String, _ code: Int32, _ message: String) throws {
    let run = try folder.run("convert \(words)")
    #expect(run.code == code)
    #expect(run.errors.contains(message), "\(run.errors)")
    #expect(try folder.contents.allSatisfy { !$0.hasPrefix("o.") && !$0.hasPrefix(".embed") })
  }
}
