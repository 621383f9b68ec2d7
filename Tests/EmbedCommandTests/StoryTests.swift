// `demo` and `info`: what they tell must be there, and be what the library says.

import EmbedKernel
import TestSupport
import Testing

@Suite struct StoryTests {
  @Test(arguments: ["auto", "openblas", "simd", "native"])
  func theDemoTellsTheStoryWithoutAnyFile(_ backend: String) throws {
    let folder = try TemporaryFolder()
    let result = try embedkernel(
      ["demo", "--backend", backend], environment: ["XDG_CACHE_HOME": folder.path("cache")])
    #expect(result.code == 0)
    #expect(result.errors.isEmpty)
    #expect(result.output.contains("byte tokenizer serves"))
    for text in [
      "token ids [8, 4]", "token embeddings [8, 4, 256]", "token table [256, 256]",
      "position embeddings [4, 256]", "input embeddings [8, 4, 256]",
      "all 8,192 elements are that sum, bit for bit",
      "The cat sat on the mat", "On the mat the cat sat",
    ] {
      #expect(result.output.contains(text))
    }
    // 'The cat' as bytes begins the built-in text.
    #expect(result.output.contains("84  104  101   32  \"The \""))
    for word in ["cat", "sat", "the", "mat"] {
      let lines = result.lines.filter { $0.hasPrefix("  \" \(word)\"") && $0.contains("equal") }
      #expect(lines.count == (word == "the" ? 2 : 1))
      #expect(lines.allSatisfy { $0.contains("differ by up to 0.") })
    }
    #expect(result.output.contains("Not compared: \"The\", \" on\", \"On\""))
  }

  @Test func theDemoTakesATextOfOnesOwn() throws {
    let folder = try TemporaryFolder()
    let text = try folder.file("text.txt", String(repeating: "ab\ncd", count: 7))
    let result = try embedkernel(["demo", "--text", text, "--tokenizer", "byte"])
    #expect(result.code == 0)
    #expect(result.output.contains("97   98   10   99  \"ab\\nc\""))

    let short = try folder.file("short.txt", "ab")
    let refused = try embedkernel(["demo", "--text", short, "--tokenizer", "byte"])
    #expect(refused.code == 1)
    #expect(refused.output.isEmpty)
    #expect(refused.errors.contains("has 2 tokens; 8 windows of 4 need 33"))
  }

  @Test func infoTellsWhatAutoTakes() throws {
    let result = try embedkernel(["info"])
    #expect(result.code == 0)
    #expect(result.errors.isEmpty)
    #expect(result.output.contains(OpenBLASLibrary.core))
    #expect(result.output.contains(InstructionSet.best.rawValue))
    let shape = EmbeddingShape(vocabulary: 50_257, batch: 8, context: 1024, dim: 768)
    let plan = try Kernels.auto.plan(for: shape)
    let line = try #require(result.lines.first { $0.contains("25.2 MB") })
    #expect(line.contains(" \(plan.backend.rawValue) "))
    #expect(line.contains(" \(plan.threads) "))
    #expect(result.output.contains(/1 +\d+\.\d GB\/s +\d+\.\d GB\/s/))
  }

  @Test func infoFollowsTheEnvironment() throws {
    let result = try embedkernel(["info"], environment: ["EMBEDKERNEL_BACKEND": "simd"])
    let line = try #require(result.lines.first { $0.contains("25.2 MB") })
    #expect(line.contains(" simd "))
  }
}

@Suite struct CallPlanTests {
  @Test func aSmallCallStaysOnItsThread() throws {
    let seed = EmbeddingShape(vocabulary: 50_257, batch: 8, context: 4, dim: 256)
    let plan = try Kernels.native.plan(for: seed)
    #expect(plan.threads == 1)
    #expect(!plan.isStreaming)
    #expect(plan.instructionSet?.isAvailable == true)
    #expect(try Kernels.simd.threads(2).plan(for: seed).threads == 2)
    #expect(try Kernels.openBLAS.plan(for: seed).instructionSet == nil)
  }

  @Test func whatACallRefusesAPlanRefuses() {
    let overflowing = EmbeddingShape(vocabulary: 2, batch: .max, context: 2, dim: 1)
    #expect(throws: EmbedError.sizeOverflow(argument: "ids", factors: [.max, 2, 1])) {
      try Kernels.auto.plan(for: overflowing)
    }
    let seed = EmbeddingShape(vocabulary: 5, batch: 1, context: 1, dim: 1)
    #expect(
      throws: EmbedError.invalidSize(argument: "threads", value: 0, expected: "1 or more")
    ) {
      try Kernels.auto.threads(0).plan(for: seed)
    }
  }
}
