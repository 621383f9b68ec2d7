// Bad configurations and calls: errors that name the field or argument, and nothing written.

import EmbedKernel
import Testing

@Suite struct RotaryErrorTests {
  @Test(arguments: [
    (#"{"rope_scaling": {"rope_type": "spiral"}}"#, "rope_scaling.rope_type", "\"spiral\""),
    (#"{"rope_scaling": {"type": "linear"}}"#, "rope_scaling.factor", "missing"),
    (#"{"rope_scaling": {"type": "linear", "factor": "4"}}"#, "rope_scaling.factor", "\"4\""),
    (#"{"rope_scaling": {"type": "linear", "factor": 0}}"#, "rope_scaling.factor", "0.0"),
    (#"{"rope_theta": NaN}"#, "rope_theta", "nan"),
    (#"{"rope_parameters": {"rope_theta": NaN}}"#, "rope_parameters.rope_theta", "nan"),
    (#"{"rope_parameters": {"rope_theta": -1}}"#, "rope_parameters.rope_theta", "-1.0"),
    (#"{"rope_theta": Infinity}"#, "rope_theta", "inf"),
    (#"{"rope_scaling": 4}"#, "rope_scaling", "4"),
    (#"{"rope_scaling": {"rope_type": 7}}"#, "rope_scaling.rope_type", "7"),
    (#"{"rope_scaling": {"type": "dynamic", "factor": 2}}"#, "max_position_embeddings", "missing"),
    (
      #"{"rope_scaling": {"type": "yarn", "factor": 2}}"#,
      "rope_scaling.original_max_position_embeddings", "missing"
    ),
    (
      #"{"rope_scaling": {"type": "yarn", "original_max_position_embeddings": 4}}"#,
      "rope_scaling.factor", "missing"
    ),
    (
      #"{"rope_scaling": {"type": "llama3", "factor": 8, "high_freq_factor": 4}}"#,
      "rope_scaling.low_freq_factor", "missing"
    ),
    (
      #"{"original_max_position_embeddings": 4, "rope_scaling": {"type": "longrope", "factor": 2, "long_factor": []}}"#,
      "rope_scaling.short_factor", "missing"
    ),
    (
      #"{"original_max_position_embeddings": 4, "rope_scaling": {"type": "longrope", "factor": 2, "short_factor": [1, 2]}}"#,
      "rope_scaling.short_factor", "an array of 2"
    ),
    (
      #"{"rope_parameters": {"partial_rotary_factor": 1.5}}"#,
      "rope_parameters.partial_rotary_factor", "1.5"
    ),
    (#"{"rope_parameters": {"mrope_section": [1, 1]}}"#, "rope_parameters.mrope_section", "[1, 1]"),
    (#"{"rotary_dim": 3}"#, "rotary_dim", "3 rotated elements"),
    (
      #"{"rope_parameters": {"full_attention": {}, "local": null}}"#, "rope_parameters",
      "an object by layer type"
    ),
    (
      #"{"model_type": "gemma3_text", "rope_parameters": {"full_attention": {}}}"#,
      "rope_parameters", "an object by layer type"
    ),
    (#"{"model_type": "gemma3_text"}"#, "layer type", "missing"),
    (#"{"model_type": "gemma4_text", "rope_parameters": null}"#, "layer type", "missing"),
    (#"{"#, "(whole text)", "not JSON at byte 1"), (#"[]"#, "(whole text)", "an array of 0"),
  ])
  func configurationErrorsNameTheField(_ json: String, _ field: String, _ found: String) throws {
    #expect {
      try RotaryConfiguration(json: json, headDim: 8)
    } throws: { error in
      guard case .invalidField(let name, let what, _)? = error as? EmbedError else { return false }
      return name == field && what == found
    }
  }

  @Test(arguments: [
    (#"{"head_dim": 7}"#, "head_dim", "7"),
    (#"{"hidden_size": 64}"#, "num_attention_heads", "missing"),
    (
      #"{"hidden_size": 21, "num_attention_heads": 3}"#, "hidden_size / num_attention_heads", "7"
    ),
  ])
  func headDims(_ json: String, _ field: String, _ found: String) {
    #expect {
      try RotaryConfiguration(json: json)
    } throws: { error in
      guard case .invalidField(let name, let what, _)? = error as? EmbedError else { return false }
      return name == field && what == found
    }
  }

  @Test func configurationsAsModelsWriteThem() throws {
    let gemma = #"""
      {"model_type": "gemma4", "text_config": {"hidden_size": 64, "head_dim": 16,
       "global_head_dim": 32, "num_attention_heads": 4, "rope_parameters": {
       "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25,
       "rope_theta": 1000000.0}, "sliding_attention": {"rope_type": "default",
       "rope_theta": 10000.0}, "none": null}}}
      """#
    let full = try RotaryConfiguration(json: gemma, layerType: "full_attention")
    #expect((full.headDim, full.rotaryDim, full.base) == (32, 32, 1e6))
    #expect(full.scaling is ProportionalScaling)
    let sliding = try RotaryConfiguration(json: gemma, layerType: "sliding_attention")
    #expect((sliding.headDim, sliding.base) == (16, 10_000))
    #expect(
      try RotaryConfiguration.layerTypes(json: gemma) == [
        "full_attention", "sliding_attention", "none",
      ])
    #expect(throws: EmbedError.self) { try RotaryConfiguration(json: gemma, layerType: "none") }

    let gptj = try RotaryConfiguration(
      json: #"{"model_type": "gptj", "n_embd": 64, "n_head": 2, "rotary_dim": 16}"#)
    #expect((gptj.headDim, gptj.rotaryDim, gptj.layout) == (32, 16, .interleaved))
    let neox = try RotaryConfiguration(
      json:
        #"{"model_type": "gpt_neox", "hidden_size": 64, "num_attention_heads": 2, "rotary_pct": 0.25, "rotary_emb_base": 5000}"#
    )
    #expect((neox.rotaryDim, neox.base, neox.layout) == (8, 5_000, .halves))
    let qwen = try RotaryConfiguration(
      json: #"{"head_dim": 32, "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]}}"#)
    #expect(qwen.axes == .sections([4, 6, 6]))
  }

  @Test func badEmbeddings() {
    func error(_ make: () throws -> Void) -> EmbedError? {
      do { try make() } catch { return error as? EmbedError }
      return nil
    }
    #expect(
      error { _ = try RotaryEmbedding(headDim: 7) }
        == .invalidSize(argument: "headDim", value: 7, expected: "an even number of 2...7"))
    #expect(
      error { _ = try RotaryEmbedding(headDim: 8, rotaryDim: 10) }
        == .invalidSize(argument: "rotaryDim", value: 10, expected: "an even number of 2...8"))
    #expect(
      error { _ = try RotaryEmbedding(headDim: 8, rotaryDim: 3) }
        == .invalidSize(argument: "rotaryDim", value: 3, expected: "an even number of 2...8"))
    #expect(
      error { _ = try RotaryEmbedding(headDim: 0) }
        == .invalidSize(argument: "headDim", value: 0, expected: "1 or more"))
    #expect(
      error { _ = try RotaryEmbedding(headDim: 8, tableBytes: -1) }
        == .invalidSize(argument: "tableBytes", value: -1, expected: "0 or more"))
    for base in [Double.nan, .infinity, 0, -1] {
      guard
        case .invalidValue("base", _, _)? = error({
          _ = try RotaryEmbedding(headDim: 8, base: base)
        })
      else {
        Issue.record("base \(base) was taken")
        continue
      }
    }
    #expect(error { _ = try NTKScaling(factor: .nan) } != nil)
    #expect(
      error { _ = try Llama3Scaling(factor: 8, lowFrequencyFactor: 5, trainedLength: 9) } != nil)
    #expect(error { _ = try RotaryEmbedding(headDim: 8, axes: .sections([1, 1])) } != nil)
    #expect(error { _ = try RotaryEmbedding(headDim: 10, axes: .axial(count: 2)) } != nil)
    #expect(
      error { _ = try RotaryEmbedding(headDim: 2, scaling: NTKScaling(factor: 2)) } != nil)
  }

  @Test func badCallsWriteNothing() throws {
    let embedding = try RotaryEmbedding(headDim: 8)
    let shape = RotaryShape(batch: 1, heads: 2, context: 2, headDim: 8)
    let x = drawn(32, seed: 1)
    func error(
      _ shape: RotaryShape, _ place: PositionIDs = .sequential(),
      with other: RotaryEmbedding? = nil, count: Int = 32, threads: Int? = nil
    ) -> EmbedError? {
      var y = [Float](repeating: 42, count: count)
      var span = y.mutableSpan
      defer { #expect(y.allSatisfy { $0 == 42 }) }
      do throws(EmbedError) {
        try (other ?? embedding).rotate(
          x.span, shape: shape, at: place, into: &span, using: Kernels(threads: threads))
      } catch {
        return error
      }
      return nil
    }
    #expect(
      error(shape, count: 31)
        == .wrongElementCount(argument: "output", expected: 32, shape: [1, 2, 2, 8], actual: 31))
    #expect(
      error(shape, .sequential(offset: Int(Int32.max)))
        == .contextTooLong(offset: Int(Int32.max), context: 2, maximum: Int(Int32.max) + 1))
    #expect(
      error(shape, .sequential(offset: -1))
        == .invalidSize(argument: "position offset", value: -1, expected: "0 or more"))
    #expect(
      error(shape, .explicit([0, -3])).map { "\($0)".contains("position -3") } == true)
    #expect(error(shape, .offsets([Int32.max])) != nil)
    #expect(error(shape, threads: 0) != nil)
    var wrong = shape
    wrong.headDim = 4
    #expect(
      error(wrong)
        == .invalidSize(
          argument: "headDim", value: 4, expected: "the rotary embedding's, 8"))
    for (batch, heads) in [(Int.max, 2), (.max, 0), (-1, 2), (1, -2)] {
      wrong = shape
      wrong.batch = batch
      wrong.heads = heads
      #expect(error(wrong) != nil, "batch \(batch), heads \(heads)")
    }
    #expect(
      error(shape, .packed(cumulativeLengths: [0, 2, 1, 2]))
        == .invalidCumulativeLength(index: 2, value: 1, expected: "at least the one before it, 2"))
    #expect(
      error(shape, .mask([1]))
        == .wrongElementCount(argument: "mask", expected: 2, shape: [1, 2], actual: 1))
    #expect(
      error(shape, .offsets([-1]))
        == .positionOutOfRange(position: -1, batchRow: 0, index: 0, maximum: Int(Int32.max) + 1))
    // xPos factors leave fp32's range.
    let xpos = try RotaryEmbedding(headDim: 8, decay: XPosDecay())
    #expect(error(shape, .sequential(offset: 50_000), with: xpos) != nil)
    // Overlap that is not in place.
    let buffer = try AlignedBuffer<Float>(count: 40)
    #expect(throws: EmbedError.overlappingMemory(argument: "input")) {
      try unsafe embedding.rotate(
        UnsafeBufferPointer(rebasing: buffer.unsafeBuffer[0..<32]), shape: shape,
        into: UnsafeMutableBufferPointer(rebasing: buffer.unsafeBuffer[8..<40]))
    }
  }
}
