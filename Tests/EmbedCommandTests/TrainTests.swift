// `train`: what a run writes, and that a run which was killed at any moment ends as one that was not.

import EmbedCommand
import EmbedKernel
import EmbedTraining
import Foundation
import TestSupport
import Testing

@Suite struct TrainTests {
  private let folder: TemporaryFolder
  private let text: String
  static let words =
    (0..<40).map { "The cat sat on the mat \($0) times, and the mat was warm.\n" }.joined()

  init() throws {
    folder = try TemporaryFolder()
    text = try folder.file("text.txt", Self.words)
  }

  /// A tiny model.
  private func options(_ output: String, _ more: String = "") -> [String] {
    let sizes =
      "--context 8 --dim 8 --heads 2 --layers 1 --batch 3 --micro-batch 2 --steps 24 --save-every 5 "
      + "--evaluate-every 4 --evaluation-tokens 60 --sample 12 --threads 1 --validation-share 0.2"
    return ["train", "--text", text, "--output", folder.path(output)]
      + (sizes + " " + more).split(separator: " ").map(String.init)
  }

  private func train(_ output: String, _ more: String = "") throws -> CommandResult {
    let result = try embedkernel(options(output, more))
    try #require(result.code == 0, "\(result.errors)")
    return result
  }

  private func bytes(_ name: String) throws -> Data {
    try Data(contentsOf: URL(filePath: folder.path(name)))
  }

  private func string(_ name: String) throws -> String {
    String(decoding: try bytes(name), as: UTF8.self)
  }

  /// The rows of a log without the time, which is the last column.
  private func rows(_ name: String) throws -> [String] {
    let text = try string(name)
    #expect(text.hasSuffix("\n"))
    return text.dropLast().split(separator: "\n", omittingEmptySubsequences: false).map {
      $0.split(separator: ",", omittingEmptySubsequences: false).dropLast().joined(separator: ",")
    }
  }

  @Test func aRunWritesWhatItPromises() throws {
    let result = try train("run")
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.path("run")).sorted() == [
        "checkpoint.safetensors", "config.json", "losses.csv", "losses.svg", "model.safetensors",
        "sample.txt",
      ])
    let rows = try rows("run/losses.csv").map {
      $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }
    #expect(
      rows[0] == [
        "step", "tokens", "learning_rate", "training_loss", "validation_loss", "gradient_norm",
      ])
    #expect(rows.dropFirst().map { $0[0] } == (1...24).map { "\($0)" })
    #expect(rows.dropFirst().map { $0[1] } == (1...24).map { "\($0 * 24)" })
    let evaluated = rows.dropFirst().filter { !$0[4].isEmpty }
    #expect(evaluated.map { $0[0] } == ["4", "8", "12", "16", "20", "24"])
    let losses = try rows.dropFirst().map { try #require(Double($0[3])) }
    #expect(abs(losses[0] - log(256)) < 0.1, "drawn parameters know nothing")
    #expect(try #require(losses.last) < losses[0])
    // Off a terminal a line tells of each evaluation.
    #expect(result.errors.split(separator: "\n").filter { $0.hasPrefix("step ") }.count == 6)
    #expect(result.errors.contains("step 24 of 24: loss "))
    // In kB or B a process of Swift's would have run in less than it takes to start.
    #expect(result.errors.contains(/; peak memory [0-9.]+ [MG]B\n/), "\(result.errors)")
    #expect(!result.errors.contains("\u{1B}"))
    #expect(!result.output.isEmpty)

    let model = try GPT(contentsOf: folder.path("run/model.safetensors"))
    let held = Array(Self.words.utf8.map { Int32($0) }.suffix((Self.words.utf8.count + 2) / 5))
    let loss = try model.evaluate(held, context: 8, batch: 2, limit: 60, threads: 1).loss
    #expect(abs(try #require(Double(evaluated[5][4])) - loss) < 1e-6)
    #expect(try string("run/config.json").contains("\"n_positions\": 8"))
    let svg = try string("run/losses.svg")
    #expect(svg.contains(">validation</text>") && svg.hasSuffix("</svg>\n"))
    // The same options give the same bytes.
    _ = try train("again")
    #expect(try bytes("again/model.safetensors") == bytes("run/model.safetensors"))
  }

  @Test(arguments: ["none", "sinusoidal", "rope", "alibi", "t5"])
  func everySchemeTrainsWithoutHuggingFacesConfiguration(_ scheme: String) throws {
    _ = try train("run", "--positions \(scheme) --head untied")
    let model = try GPT(contentsOf: folder.path("run/model.safetensors"))
    #expect(model.configuration.positions.rawValue == scheme)
    #expect(model.configuration.head == .untied)
    #expect(!FileManager.default.fileExists(atPath: folder.path("run/config.json")))
  }

  /// Killed after some rows, or some time after the first checkpoint; then resumed, killed again, and
  /// resumed to the end.
  @Test(arguments: [0, 1, 4, 5, 6, 13, 19, 23])
  func aKilledRunEndsAsOneThatWasNot(_ killedAt: Int) throws {
    _ = try train("whole")
    let run = folder.path("killed")
    func count() -> Int {
      guard FileManager.default.fileExists(atPath: run + "/checkpoint.safetensors"),
        let log = try? String(contentsOfFile: run + "/losses.csv", encoding: .utf8)
      else { return -1 }
      return log.split(separator: "\n").count - 1
    }
    // On a busy machine a run may end before it is looked at.
    var isKilled = false
    for _ in 0..<20 where !isKilled {
      try? FileManager.default.removeItem(atPath: run)
      isKilled = try killedEmbedkernel(options("killed")) { count() >= killedAt }
    }
    try #require(isKilled)
    _ = try killedEmbedkernel(["train", "--resume", run]) { count() >= min(23, killedAt + 4) }
    _ = try folder.file("killed/.embedkernel-0", "What a writer leaves that was killed.")
    let result = try embedkernel(["train", "--resume", run])
    try #require(result.code == 0, "\(result.errors)")
    #expect(result.errors.contains("goes on after step "))
    for name in ["model.safetensors", "checkpoint.safetensors", "sample.txt", "losses.svg"] {
      #expect(try bytes("killed/" + name) == bytes("whole/" + name), "\(name)")
    }
    #expect(try rows("killed/losses.csv") == rows("whole/losses.csv"))
    let contents = try FileManager.default.contentsOfDirectory(atPath: run)
    #expect(!contents.contains { $0.hasPrefix(".") }, "\(contents)")
  }

  @Test func aRunThatHasEndedCanBeMadeLonger() throws {
    _ = try train("run")
    let longer = try embedkernel(["train", "--resume", folder.path("run"), "--steps", "30"])
    try #require(longer.code == 0, "\(longer.errors)")
    #expect(longer.errors.contains("goes on after step 24 of 30"))
    #expect(try rows("run/losses.csv").count == 31)
    let shorter = try embedkernel(["train", "--resume", folder.path("run"), "--steps", "29"])
    #expect(shorter.code == 2)
    #expect(shorter.errors.contains("--steps 29: the run has taken 30 already"))
  }

  @Test func noStepsWriteADrawnModel() throws {
    let result = try embedkernel([
      "train", "--text", text, "--output", folder.path("run"), "--steps", "0", "--dim", "8",
      "--sample", "0",
    ])
    try #require(result.code == 0, "\(result.errors)")
    #expect(try rows("run/losses.csv").count == 1)
    let model = try GPT(contentsOf: folder.path("run/model.safetensors"))
    let drawn = try GPT(model.configuration, seed: 0)
    for (read, made) in zip(model.parameters, drawn.parameters) {
      let (a, b) = (read.table, made.table)
      #expect(a.span.indices.allSatisfy { a.span[$0] == b.span[$0] }, "\(read.name)")
    }
  }

  /// A small vocabulary makes a small table, and unused ids are never drawn, however likely a model
  /// that has learned little finds them.
  @Test func aSmallVocabularyMakesASmallModel() throws {
    let vocabulary = try rankFile(folder, [("th", 256), ("the", 262), (" mat", 261)])
    let few = ["--sample": "400", "--steps": "2"]
    var words = options("run", "--tokenizer gpt2 --vocabulary \(vocabulary)")
    for (name, value) in few {
      if let place = words.firstIndex(of: name) { words[place + 1] = value }
    }
    let run = try embedkernel(words)
    try #require(run.code == 0, "\(run.errors)")
    let model = try GPT(contentsOf: folder.path("run/model.safetensors"))
    #expect(model.configuration.vocabulary == 263)
    #expect(try bytes("run/sample.txt").count > 400)
    let sample = try embedkernel([
      "sample", folder.path("run"), "--tokens", "2000", "--temperature", "3",
    ])
    #expect(sample.code == 0, "\(sample.errors)")

    let wide = try rankFile(folder, [("th", 1_000_000_000)])
    try refused(
      options("wide", "--tokenizer gpt2 --vocabulary \(wide)"),
      "has 257 tokens but ids up to 1,000,000,000")
    #expect(try !folder.contents.contains("wide"))
  }

  /// A vocabulary without an end of line: a text begins with its first token instead.
  @Test func aVocabularyWithoutLinesTrainsAndSamples() throws {
    let text = try folder.file("abc.txt", String(repeating: "abcab", count: 200))
    let vocabulary = try folder.file("abc.tiktoken", "YQ== 3\nYg== 4\nYw== 5\nYWI= 7\n")
    let result = try embedkernel(
      options("run", "--tokenizer gpt2 --vocabulary \(vocabulary)").map {
        $0 == self.text ? text : $0
      })
    #expect(result.code == 0, "\(result.errors)")
    #expect(try string("run/sample.txt").wholeMatch(of: /[abc]{12,}\n/) != nil)
    let sample = try embedkernel(["sample", folder.path("run"), "--tokens", "30"])
    #expect(sample.output.wholeMatch(of: /[abc]{30,}\n/) != nil, "\(sample.errors)")
    let refused = try embedkernel(["sample", folder.path("run"), "--prompt", "bad"])
    #expect(refused.code == 1)
    #expect(refused.errors.contains("no token for the byte 100, which the text has at byte 2"))
  }

  // MARK: Faults

  @Test(
    arguments: [
      ("train", "--output FOLDER is missing, or --resume FOLDER"),
      ("train --output o --dim 10", "--dim 10 is not a multiple of --heads 4"),
      ("train --output o --dim 12 --positions rope", "are not an even number"),
      ("train --output o --positions sine", "'sine' is none of none, learned, sinusoidal, rope"),
      ("train --output o --micro-batch 40", "--micro-batch 40 is more than the batch of 32"),
      ("train --output o --validation-share 1", "'1' is not a number of 0 or more, below 1"),
      ("train --output o --clip -1", "'-1' is not a number of 0 or more"),
      ("train --output o --learning-rate 0", "'0' is not a finite number above 0"),
      (
        "train --resume o --dim 8", "--dim does not fit here: --resume takes it from the checkpoint"
      ),
      ("evaluate", "RUN is missing"),
      ("evaluate o --lengths 8,x", "option --lengths: 'x' is not an integer of 1 or more"),
      ("evaluate o --interpolate square", "'square' is none of linear, cubic"),
      ("sample o --temperature -1", "'-1' is not a number of 0 or more"),
      ("sample o --top-k 0", "'0' is not an integer of 1 or more"),
      (
        "sample o --length 9",
        "unknown option '--length'; did you mean '--tokens N'? Tokens to draw (default 200)."
      ),
      ("sample o --tokens -1", "'-1' is not an integer of 0 to 2147483647"),
    ])
  func wrongOptionsExitWith2(_ line: String, _ message: String) throws {
    let result = try embedkernel(line.split(separator: " ").map(String.init))
    #expect(result.code == 2)
    #expect(result.errors.contains(message), "\(result.errors)")
  }

  private func refused(_ words: [String], _ message: String) throws {
    let result = try embedkernel(words)
    #expect(result.code == 1)
    #expect(result.errors.contains(message), "\(result.errors)")
  }

  @Test func whatIsWrongWithTheTextIsSaid() throws {
    let short = try folder.file("short.txt", "too short")
    let words = ["train", "--text", short, "--output", folder.path("run")]
    try refused(words, "its training part has 8, but needs 65 or more")
    let some = try folder.file("some.txt", String(repeating: "a", count: 900))
    try refused(
      ["train", "--text", some, "--output", folder.path("run")],
      "has 810 tokens to train on; a batch of 32 sequences of 64 needs 2,049")
    try refused(
      ["train", "--text", folder.path("none"), "--output", folder.path("run")], "No such file")
    try #require(try !folder.contents.contains("run"), "nothing is begun")
    let nowhere = try embedkernel(
      ["train", "--output", folder.path("run")],
      environment: ["XDG_CACHE_HOME": folder.path("cache")])
    #expect(nowhere.code == 1)
    #expect(nowhere.errors.contains("scripts/setup-data fetches Shakespeare's plays"))
    try refused(["train", "--resume", folder.path("run")], "no run to go on with")
    let file = try folder.file("file", "")
    try refused(
      ["train", "--text", text, "--output", file + "/run", "--steps", "0"],
      "cannot create the folder '\(file)'")
  }

  @Test func aRunThatDoesNotFitIsNotGoneOnWith() throws {
    _ = try train("run", "")
    let run = folder.path("run")
    try refused(options("run"), "'\(run)' holds a run; go on with it by --resume")

    let log = try string("run/losses.csv")
    let lines = log.split(separator: "\n").map(String.init)
    _ = try folder.file("run/losses.csv", lines.prefix(20).joined(separator: "\n") + "\n")
    try refused(["train", "--resume", run], "ends at step 19, but the checkpoint is at step 24")
    _ = try folder.file("run/losses.csv", log.replacingOccurrences(of: "\n7,", with: "\n8,"))
    try refused(
      ["train", "--resume", run], "line 8 is of step 8 with 168 tokens, which no step has")
    _ = try folder.file("run/losses.csv", "step\n")
    try refused(["train", "--resume", run], "line 1 is not 'step,tokens,")
    _ = try folder.file("run/losses.csv", log)

    _ = try folder.file("text.txt", Self.words.replacingOccurrences(of: "cat", with: "dog"))
    try refused(["train", "--resume", run], "is not the text that the run began with")
    try refused(["evaluate", run], "is not the text that the run began with")
    _ = try folder.file("text.txt", Self.words)

    let checkpoint = try bytes("run/checkpoint.safetensors")
    let url = URL(filePath: folder.path("run/checkpoint.safetensors"))
    try checkpoint.prefix(checkpoint.count / 2).write(to: url)
    try refused(["train", "--resume", run], "checkpoint.safetensors'")
    try Data(checkpoint.map { $0 == UInt8(ascii: "{") ? 0 : $0 }).write(to: url)
    try refused(["train", "--resume", run], "checkpoint.safetensors'")
    try bytes("run/model.safetensors").write(to: url)
    try refused(["train", "--resume", run], "is of no run")
    try checkpoint.write(to: url)
    #expect(try embedkernel(["train", "--resume", run]).code == 0)
  }
}
