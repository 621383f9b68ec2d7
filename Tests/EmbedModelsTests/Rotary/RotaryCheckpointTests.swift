// The layout of pairs in checkpoints: recorded, read back, and converted with everything else kept.

import EmbedKernel
import EmbedModels
import TestSupport
import Testing

@Suite struct RotaryCheckpointTests {
  private let folder: TemporaryFolder
  private let headDim = 8

  init() throws { folder = try TemporaryFolder() }

  private func permuted<Element>(_ rows: [Element], rowLength: Int) throws -> [Element] {
    let permutation = try RotaryLayout.interleaved.permutation(to: .halves, headDim: headDim)
    return (0..<rows.count / rowLength).flatMap { row in
      let from = row / headDim * headDim + permutation[row % headDim]
      return rows[from * rowLength..<(from + 1) * rowLength]
    }
  }

  /// A file with a float query projection, a bfloat16 key projection with its bias, a norm, and what
  /// must stay as it is.
  private func write(_ name: String, metadata: [String: String]) throws -> String {
    let path = folder.path(name)
    var writer = try SafetensorsWriter(
      path,
      tensors: [
        .init("layers.0.self_attn.q_proj.weight", .float32, shape: [16, 3]),
        .init("layers.0.self_attn.k_proj.weight", .bfloat16, shape: [8, 3]),
        .init("layers.0.self_attn.k_proj.bias", .float32, shape: [8]),
        .init("layers.0.self_attn.q_norm.weight", .float32, shape: [8]),
        .init("layers.0.self_attn.v_proj.weight", .float32, shape: [8, 3]),
        .init("steps", .int64, shape: []),
      ], metadata: metadata)
    try writer.write("layers.0.self_attn.q_proj.weight", queries.span)
    try writer.write("layers.0.self_attn.k_proj.weight", keys.span)
    try writer.write("layers.0.self_attn.k_proj.bias", bias.span)
    try writer.write("layers.0.self_attn.q_norm.weight", bias.span)
    try writer.write("layers.0.self_attn.v_proj.weight", values.span)
    let steps: [Int64] = [7]
    try writer.write("steps", steps.span)
    try writer.commit()
    return path
  }

  private let queries = drawn(48, seed: 1)
  private let keys = drawn(24, seed: 2).map { BFloat16($0) }
  private let bias = drawn(8, seed: 3)
  private let values = drawn(24, seed: 4)

  private func elements<Element: FileElement>(
    _ file: borrowing Safetensors, _ name: String, as type: Element.Type
  ) throws -> [Element] {
    let span = try file.elements(of: name, as: type)
    return span.indices.map { span[$0] }
  }

  @Test func convertsProjectionsAndKeepsTheRest() throws {
    let source = try write(
      "meta.safetensors",
      metadata: [CheckpointMetadata.rotaryLayout: "interleaved", "format": "pt"])
    #expect(try RotaryLayout(recordedIn: source) == .interleaved)
    let target = folder.path("half.safetensors")
    let names = try RotaryLayout.convertCheckpoint(
      source, to: .halves, headDim: headDim, into: target)
    let prefix = "layers.0.self_attn."
    #expect(
      Set(names)
        == Set(
          ["q_proj.weight", "k_proj.weight", "k_proj.bias", "q_norm.weight"].map { prefix + $0 }))
    #expect(try RotaryLayout(recordedIn: target) == .halves)
    let file = try Safetensors(contentsOf: target)
    #expect(file.header.metadata["format"] == "pt")
    #expect(
      try elements(file, prefix + "q_proj.weight", as: Float.self)
        == permuted(queries, rowLength: 3))
    #expect(
      try elements(file, prefix + "k_proj.weight", as: BFloat16.self)
        == permuted(keys, rowLength: 3))
    for name in ["k_proj.bias", "q_norm.weight"] {
      #expect(try elements(file, prefix + name, as: Float.self) == permuted(bias, rowLength: 1))
    }
    #expect(try elements(file, prefix + "v_proj.weight", as: Float.self) == values)
    #expect(try elements(file, "steps", as: Int64.self) == [7])

    // There and back is the file itself.
    let back = folder.path("back.safetensors")
    try RotaryLayout.convertCheckpoint(target, to: .interleaved, headDim: headDim, into: back)
    #expect(try contents(source) == contents(back))
  }

  @Test func aLayoutMustBeKnown() throws {
    let target = folder.path("out.safetensors")
    func error(_ metadata: [String: String], _ given: RotaryLayout?, headDim: Int = 8) throws
      -> ModelError?
    {
      let source = try write("in.safetensors", metadata: metadata)
      do throws(ModelError) {
        try RotaryLayout.convertCheckpoint(
          source, from: given, to: .halves, headDim: headDim, into: target)
      } catch {
        return error
      }
      return nil
    }
    let key = CheckpointMetadata.rotaryLayout
    #expect(
      try error([:], nil)
        == .embed(.invalidField(field: key, found: "missing", expected: "half or interleaved")))
    #expect(
      try error([key: "half"], .interleaved)
        == .embed(.invalidField(field: key, found: "half", expected: "interleaved")))
    #expect(
      try error([key: "neox"], nil)
        == .embed(.invalidField(field: key, found: "\"neox\"", expected: "half or interleaved")))
    #expect(try error([key: "half"], nil, headDim: 7) != nil)
    guard
      case .safetensors(.shape(_, let tensor, _, let found))? = try error(
        [key: "half"], nil, headDim: 16)
    else {
      Issue.record("rows that are not whole heads were taken")
      return
    }
    #expect(tensor.contains("k_proj") || tensor.contains("q_norm"))
    #expect(found.first == 8)
    #expect(try folder.contents == ["in.safetensors"], "nothing is written")
    #expect(try error([key: "half"], .halves) == nil)
    #expect(try RotaryLayout(recordedIn: write("plain.safetensors", metadata: [:])) == nil)
    guard
      case .safetensors(.missingTensor)? = #expect(
        throws: ModelError.self,
        performing: {
          try RotaryLayout.convertCheckpoint(
            target, to: .halves, headDim: 8, endings: ["wq"], into: target)
        })
    else {
      Issue.record("a checkpoint without projections was taken")
      return
    }
  }

  @Test func metadataNamesTheLayout() throws {
    for layout in RotaryLayout.allCases {
      #expect(try RotaryLayout(metadata: layout.rawValue) == layout)
    }
    #expect(try RotaryLayout(metadata: nil) == nil)
    #expect(throws: EmbedError.self) { try RotaryLayout(metadata: "neox") }
  }

  private func contents(_ path: String) throws -> [UInt8] {
    let file = try Safetensors(contentsOf: path)
    return try file.names.flatMap { name in
      let bytes = try file.bytes(of: name)
      return unsafe bytes.withUnsafeBytes { unsafe Array($0) }
    } + Array(file.header.metadata.sorted { $0.key < $1.key }.description.utf8)
  }
}

/// The same values for the same seed.
private func drawn(_ count: Int, seed: UInt64) -> [Float] {
  var random = SeededGenerator(seed: seed)
  return random.floats(count)
}
