// Models in several files, and the names that public models give their input embeddings.

import EmbedKernel
import EmbedModels
import Foundation
import TestSupport
import Testing

@Suite struct SafetensorsModelTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Writes tensors whose element i is i + `first`; a name with `norm` or `bias` at its end is of one
  /// dimension.
  private func save(_ names: [String], to file: String, first: Int = 0) throws -> String {
    func shape(_ name: String) -> [Int] {
      let isVector =
        name.hasSuffix("bias") || name.lowercased().contains("norm")
        || name.hasSuffix("emb_ln.weight")
      return isVector ? [3] : [name.contains("position") || name.contains("wpe") ? 6 : 4, 3]
    }
    let path = folder.path(file)
    var writer = try SafetensorsWriter(
      path, tensors: names.map { .init($0, .float32, shape: shape($0)) })
    for name in names {
      let values = (0..<shape(name).reduce(1, *)).map { Float($0 + first) }
      try writer.write(name, values.span)
    }
    try writer.commit()
    return path
  }

  private func index(_ map: String, _ file: String = "model.safetensors.index.json") throws
    -> String
  {
    let path = folder.path(file)
    try Data("{\"metadata\": {\"total_size\": 1}, \"weight_map\": {\(map)}}".utf8)
      .write(to: URL(filePath: path))
    return path
  }

  @Test func readsShardsByIndexAndByFolder() throws {
    _ = try save(["transformer.wte.weight", "transformer.h.0.ln_1.weight"], to: "one.safetensors")
    _ = try save(["transformer.wpe.weight"], to: "two.safetensors", first: 100)
    let path = try index(
      """
      "transformer.wte.weight": "one.safetensors",
      "transformer.h.0.ln_1.weight": "one.safetensors", "transformer.wpe.weight": "two.safetensors"
      """)
    for place in [path, folder.url.path, folder.url.path + "/"] {
      let model = try SafetensorsModel(contentsOf: place)
      #expect(model.names.count == 3)
      #expect(try model.file(of: "transformer.wpe.weight") == folder.path("two.safetensors"))
      let layer = try InputEmbedding(contentsOf: place)
      let positions = try #require(layer.positions)
      let tokens = layer.tokens.table
      let row = positions[5]
      let last = row[2]
      #expect(positions.rows == 6 && last == 117)
      let token = tokens[3]
      let element = token[2]
      #expect(tokens.rows == 4 && element == 11)
    }
    let missing = #expect(throws: ModelError.self) {
      try SafetensorsModel(contentsOf: path).table("transformer.wtf.weight")
    }
    #expect(missing?.description.contains("transformer.wte.weight") == true)
  }

  @Test func namesAMissingShardAndATensorThatItLacks() throws {
    let map = "\"wte.weight\": \"one.safetensors\", \"wpe.weight\": \"two.safetensors\""
    let path = try index(map)
    _ = try save(["wte.weight"], to: "one.safetensors")
    #expect(
      throws: ModelError.file(
        .system(operation: "open", path: folder.path("two.safetensors"), code: ENOENT))
    ) { try InputEmbedding(contentsOf: path) }
    _ = try save(["wxe.weight"], to: "two.safetensors")
    #expect(
      throws: ModelError.safetensors(
        .missingTensor(
          path: folder.path("two.safetensors"), expected: ["wpe.weight"], found: ["wxe.weight"]))
    ) { try InputEmbedding(contentsOf: path) }
  }

  /// GPT-2's positions may be in the other file; a sum without them would be wrong.
  @Test func refusesOneShardForTheWhole() throws {
    let shard = try save(["wte.weight"], to: "model-00001-of-00002.safetensors")
    let error = #expect(throws: ModelError.oneShard(path: shard)) {
      try InputEmbedding(contentsOf: shard)
    }
    #expect(error?.description.contains("open their index") == true)
    let own = EmbeddingNames(tokens: ["wte.weight"])
    #expect(try InputEmbedding(contentsOf: shard, names: own).positions == nil)
    #expect(try SafetensorsModel(contentsOf: shard).table("wte.weight").rows == 4)
    let only = try save(["wte.weight"], to: "model-00001-of-00001.safetensors")
    #expect(try InputEmbedding(contentsOf: only).positions == nil)
  }

  @Test(arguments: [
    "\"../one.safetensors\"", "\"/etc/passwd\"", "\"a/../../one.safetensors\"", "\"\"", "\".\"",
    "\"a//b\"", "\"one.safetensors\\u0000\"", "1", "null", "[\"one.safetensors\"]",
  ])
  func refusesAShardOutsideTheFolder(shard: String) throws {
    let path = try index("\"wte.weight\": \(shard)")
    let error = #expect(throws: ModelError.self) {
      try SafetensorsModel(contentsOf: path)
    }
    guard case .invalidShard(path, "wte.weight", _)? = error else {
      Issue.record("an unexpected error: \(String(describing: error))")
      return
    }
  }

  @Test(arguments: ["", "{", "[]", "{}", "{\"weight_map\": []}", "{\"weight_map\": {\"a\"}}"])
  func refusesAnIndexThatIsNone(text: String) throws {
    let path = folder.path("model.safetensors.index.json")
    try Data(text.utf8).write(to: URL(filePath: path))
    let error = #expect(throws: ModelError.self) { try SafetensorsModel(contentsOf: path) }
    #expect(error?.description.contains("'\(path)': at offset") == true)
  }

  @Test func refusesAFolderWithoutAModelAndAnEmptyPath() throws {
    let place = folder.url.path
    #expect(throws: ModelError.noModel(path: place)) {
      try SafetensorsModel(contentsOf: place)
    }
    let error = #expect(throws: ModelError.self) { try SafetensorsModel(contentsOf: "") }
    #expect(error?.description == "cannot open '': the path is empty")
  }

  /// A whole model's tensors by the names of each family, and what the layer is read from.
  static let models: [(names: [String], tokens: String, positions: String?, fused: Bool)] =
    [
      (["wte.weight", "wpe.weight", "ln_f.weight"], "wte.weight", "wpe.weight", false),
      (
        ["transformer.wte.weight", "transformer.wpe.weight"], "transformer.wte.weight",
        "transformer.wpe.weight", false
      ),
      (["transformer.wte.weight", "lm_head.weight"], "transformer.wte.weight", nil, false),
      (["model.transformer.wte.weight"], "model.transformer.wte.weight", nil, false),
      (["model.embed_tokens.weight", "lm_head.weight"], "model.embed_tokens.weight", nil, false),
      (
        [
          "language_model.model.embed_tokens.weight",
          "vision_tower.embeddings.position_embedding.weight",
        ],
        "language_model.model.embed_tokens.weight", nil, false
      ),
      (
        [
          "model.language_model.embed_tokens.weight",
          "model.language_model.embed_tokens_per_layer.weight",
        ],
        "model.language_model.embed_tokens.weight", nil, false
      ),
      (
        ["model.embed_tokens.weight", "model.layers.61.embed_tokens.weight"],
        "model.embed_tokens.weight", nil, false
      ),
      (
        [
          "language_model.model.embed_tokens.weight",
          "language_model.model.layers.61.embed_tokens.weight",
        ],
        "language_model.model.embed_tokens.weight", nil, false
      ),
      (
        ["model.decoder.embed_tokens.weight", "model.decoder.embed_positions.weight"],
        "model.decoder.embed_tokens.weight", "model.decoder.embed_positions.weight", false
      ),
      (
        ["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"],
        "shared.weight", nil, false
      ),
      (
        [
          "model.shared.weight", "model.encoder.embed_tokens.weight",
          "model.decoder.embed_tokens.weight",
        ],
        "model.shared.weight", nil, false
      ),
      (["gpt_neox.embed_in.weight", "embed_out.weight"], "gpt_neox.embed_in.weight", nil, false),
      (["transformer.word_embeddings.weight"], "transformer.word_embeddings.weight", nil, false),
      (
        [
          "transformer.word_embeddings.weight", "transformer.word_embeddings_layernorm.weight",
          "transformer.word_embeddings_layernorm.bias",
        ], "transformer.word_embeddings.weight", nil, true
      ),
      (
        ["transformer.embedding.word_embeddings.weight"],
        "transformer.embedding.word_embeddings.weight", nil, false
      ),
      (["tok_embeddings.weight", "norm.weight"], "tok_embeddings.weight", nil, false),
      (
        ["model.embeddings.tok_embeddings.weight", "model.embeddings.norm.weight"],
        "model.embeddings.tok_embeddings.weight", nil, true
      ),
      (
        [
          "text_model.embeddings.token_embedding.weight",
          "text_model.embeddings.position_embedding.weight",
          "vision_model.embeddings.position_embedding.weight",
        ],
        "text_model.embeddings.token_embedding.weight",
        "text_model.embeddings.position_embedding.weight", false
      ),
      (["backbone.embeddings.weight"], "backbone.embeddings.weight", nil, false),
      (
        [
          "embeddings.word_embeddings.weight", "embeddings.token_type_embeddings.weight",
          "emb_ln.weight", "emb_ln.bias",
        ],
        "embeddings.word_embeddings.weight", nil, true
      ),
    ]
    + ["bert.", "roberta.", "electra.", "deberta.", "distilbert.", "", "model.text_encoder."].map {
      prefix in
      let parts = [
        "word_embeddings.weight", "position_embeddings.weight", "LayerNorm.weight",
        "LayerNorm.bias",
      ]
      let all = prefix == "distilbert." ? parts : parts + ["token_type_embeddings.weight"]
      return (
        all.map { "\(prefix)embeddings.\($0)" } + ["\(prefix)pooler.dense.bias"],
        "\(prefix)embeddings.word_embeddings.weight",
        "\(prefix)embeddings.position_embeddings.weight", true
      )
    }

  @Test(arguments: models.indices)
  func findsTheInputEmbeddingOfPublicModels(number: Int) throws {
    let model = Self.models[number]
    let path = try save(model.names, to: "m.safetensors")
    let names = try EmbeddingNames(ofModelAt: path)
    #expect(names.tokens == [model.tokens])
    #expect(names.positions == (model.positions.map { [$0] } ?? []))
    #expect(names.normScale.isEmpty == !model.fused)
    let fused = try FusedInputEmbedding(contentsOf: path)
    #expect(fused.embedding.tokens.vocabulary == 4)
    #expect((fused.embedding.positions?.rows == 6) == (model.positions != nil))
    #expect((fused.normalization != nil) == model.fused)
    if model.fused {
      #expect(throws: ModelError.self) { try InputEmbedding(contentsOf: path) }
    } else {
      #expect(try InputEmbedding(contentsOf: path).tokens.dim == 3)
    }
  }

  @Test(arguments: [
    ["encoder.wte.weight", "decoder.wte.weight"],
    ["thinker.model.embed_tokens.weight", "talker.model.embed_tokens.weight"],
    ["model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"],
    [
      "text_encoder.embeddings.word_embeddings.weight",
      "text_decoder.bert.embeddings.word_embeddings.weight",
    ],
    ["a.wte.weight", "b.embed_in.weight"],
  ])
  func refusesToChooseAmongTables(names: [String]) throws {
    let path = try save(names, to: "m.safetensors")
    let error = #expect(throws: ModelError.self) { try InputEmbedding(contentsOf: path) }
    for name in names { #expect(error?.description.contains("\"\(name)\"") == true) }
    // Named, each is read.
    let own = EmbeddingNames(tokens: [names[1]])
    #expect(try InputEmbedding(contentsOf: path, names: own).tokens.vocabulary == 4)
  }

  @Test func refusesASumWithAPartLeftOut() throws {
    var path = try save(
      ["ernie.embeddings.word_embeddings.weight", "ernie.embeddings.task_type_embeddings.weight"],
      to: "m.safetensors")
    let error = #expect(throws: ModelError.self) { try InputEmbedding(contentsOf: path) }
    #expect(error?.description.contains("task_type_embeddings.weight") == true)
    // A file put together by hand.
    path = try save(["wte.weight", "transformer.wpe.weight"], to: "m.safetensors")
    let mixed = #expect(throws: ModelError.self) { try InputEmbedding(contentsOf: path) }
    #expect(mixed?.description.contains("transformer.wpe.weight") == true)
    // BART's encoder and decoder have positions each.
    path = try save(
      [
        "model.shared.weight", "model.encoder.embed_positions.weight",
        "model.decoder.embed_positions.weight",
      ], to: "m.safetensors")
    let bart = #expect(throws: ModelError.self) { try InputEmbedding(contentsOf: path) }
    #expect(bart?.description.contains("model.encoder.embed_positions.weight") == true)
    path = try save(
      ["bert.embeddings.word_embeddings.weight", "bert.embeddings.LayerNorm.bias"],
      to: "m.safetensors")
    #expect(throws: ModelError.self) { try FusedInputEmbedding(contentsOf: path) }
  }

  /// A tensor of a type without a Swift type keeps nothing else from being read.
  @Test func readsBesideTypesThatItDoesNotKnow() throws {
    let path = folder.path("m.safetensors")
    var writer = try SafetensorsWriter(
      path,
      tensors: [
        .init("model.embed_tokens.weight", .float32, shape: [2, 1]),
        .init("x.q", .float4, shape: [2, 8]), .init("y.q", .other("I2"), shape: [3], byteCount: 1),
      ])
    try writer.write("model.embed_tokens.weight", [1 as Float, 2].span)
    try unsafe writer.write("x.q", bytes: [UInt8](repeating: 7, count: 8).span.bytes)
    try unsafe writer.write("y.q", bytes: [7 as UInt8].span.bytes)
    try writer.commit()
    #expect(try InputEmbedding(contentsOf: path).tokens.vocabulary == 2)
    for name in ["x.q", "y.q"] {
      #expect(throws: ModelError.self) { try SafetensorsModel(contentsOf: path).table(name) }
    }
  }

  @Test func namesBelowAPrefix() {
    #expect(EmbeddingNames.llama.below("a.b.").tokens.first == "a.b.model.embed_tokens.weight")
  }

  @Test func aMissingTensorsErrorListsTheNearest() throws {
    let layers = (0..<60).map { "model.layers.\($0).mlp.weight" }
    let path = try save(layers + ["language_model.model.embed_tokens.weight"], to: "m.safetensors")
    let error = #expect(throws: ModelError.self) {
      try SafetensorsModel(contentsOf: path).table("model.embed_token.weight")
    }
    let text = error?.description ?? ""
    #expect(text.contains("found 61 others, of which the nearest are"))
    #expect(text.contains("nearest are \"language_model.model.embed_tokens.weight\""))
    #expect(text.utf8.count < 600)
  }
}
