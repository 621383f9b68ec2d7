// A run's folder has one writer; what is not as a run left it is refused by name, whatever it is.

import EmbedCommand
import EmbedKernel
import EmbedTraining
import Foundation
import TestSupport
import Testing

@Suite struct RunFolderTests {
  private let folder: TemporaryFolder
  private let text: String

  init() throws {
    folder = try TemporaryFolder()
    text = try folder.file("text.txt", TrainTests.words)
  }

  private func options(_ steps: Int) -> [String] {
    let sizes =
      "--context 8 --dim 8 --heads 2 --layers 1 --batch 3 --save-every 5 --evaluate-every 4 "
      + "--evaluation-tokens 60 --sample 4 --threads 1 --validation-share 0.2"
    return ["train", "--text", text, "--output", run, "--steps", "\(steps)"]
      + sizes.split(separator: " ").map(String.init)
  }

  private var run: String { folder.path("run") }
  private var log: String { run + "/losses.csv" }

  private func refused(_ words: [String], _ message: String) throws {
    let result = try embedkernel(words)
    #expect(result.code == 1)
    #expect(result.errors.contains(message), "\(result.errors)")
  }

  private func rows() throws -> [String] {
    try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").map(String.init)
  }

  @Test func aSecondRunIsRefusedAndReadersAreNot() throws {
    let first = try startedEmbedkernel(options(1_000_000))
    defer {
      kill(first.processIdentifier, SIGKILL)
      first.waitUntilExit()
    }
    while first.isRunning, try !FileManager.default.fileExists(atPath: log) || rows().count < 8 {
      usleep(1_000)
    }
    try #require(first.isRunning)
    for words in [options(9), ["train", "--resume", run]] {
      let second = try embedkernel(words)
      #expect(second.code == 1)
      #expect(
        second.errors
          == "embedkernel train: another embedkernel is writing in '\(run)': wait for its end, or "
          + "name another folder\n")
    }
    #expect(try embedkernel(["evaluate", run, "--limit", "40"]).code == 0)
    #expect(try embedkernel(["sample", run, "--tokens", "2"]).code == 0)
    kill(first.processIdentifier, SIGKILL)
    first.waitUntilExit()
    let steps = try Trainer.restore(from: run + "/checkpoint.safetensors").trainer.stepCount
    let resumed = try embedkernel(["train", "--resume", run, "--steps", "\(steps + 3)"])
    #expect(resumed.code == 0, "\(resumed.errors)")
    #expect(
      try rows().dropFirst().map { $0.prefix { $0 != "," } } == (1...steps + 3).map { "\($0)" })
  }

  @Test func ofSeveralThatBeginAtOnceOneDoes() throws {
    let started = try (0..<4).map { _ in try startedEmbedkernel(options(6)) }
    started.forEach { $0.waitUntilExit() }
    #expect(started.map(\.terminationStatus).sorted() == [0, 1, 1, 1])
    #expect(try rows().count == 7)
    #expect(try embedkernel(["train", "--resume", run, "--steps", "8"]).code == 0)
  }

  /// A fault in the log, and the line that the message names.
  struct Damage: Sendable, CustomTestStringConvertible {
    let change: @Sendable (inout [String]) -> Void
    let message: String
    var testDescription: String { message }

    init(_ change: @escaping @Sendable (inout [String]) -> Void, _ message: String) {
      self.change = change
      self.message = message
    }
  }

  @Test(arguments: [
    Damage({ $0.insert($0[4], at: 5) }, "line 6 is of step 4, where step 5 is due"),
    Damage({ $0.append($0[7]) }, "line 9 is of step 7, where step 8 is due"),
    Damage({ $0.swapAt(2, 3) }, "line 3 is of step 3, where step 2 is due"),
    Damage({ $0.remove(at: 3) }, "line 4 is of step 4, where step 3 is due"),
    Damage({ $0.removeFirst() }, "line 1 is not 'step,tokens,learning_rate"),
    Damage({ $0[6] = "" }, "line 7 has 1 cell, not 7: \"\""),
    Damage({ $0[6] += ",0" }, "line 7 has 8 cells, not 7"),
    Damage({ $0[6] = "6,144,x,1,,1,1" }, "line 7 has the learning_rate 'x', not a finite number"),
    Damage(
      { $0[6] = "6,144,0.1,inf,,1,1" }, "line 7 has the training_loss 'inf', not a finite number"),
    Damage({ $0[6] = "6,144,0.1,1,y,1,1" }, "line 7 has the validation_loss 'y', not a number"),
    Damage(
      { $0[6] = "6,144,0.1,1,,nan,1" }, "line 7 has the gradient_norm 'nan', not a finite number"),
    Damage(
      { $0[6] = "6,144,0.1,1,,1,1e999" }, "line 7 has the seconds '1e999', not a finite number"),
    Damage(
      { $0[6] = "-6,144,0.1,1,,1,1" }, "line 7 has the step '-6', not an integer of 0 or more"),
    Damage(
      { $0[6] = "6,145,0.1,1,,1,1" }, "line 7 is of step 6 with 145 tokens, which no step has"),
    Damage(
      { $0[1] = "9223372036854775807,24,0.1,1,,1,1" },
      "line 2 is of step 9223372036854775807 with 24 tokens, which no step has"
    ),
  ])
  func aFaultyLogIsRefusedByLine(_ damage: Damage) throws {
    try #require(try embedkernel(options(7)).code == 0)
    var lines = try rows()
    damage.change(&lines)
    _ = try folder.file("run/losses.csv", lines.joined(separator: "\n") + "\n")
    let before = try Data(contentsOf: URL(filePath: log))
    try refused(["train", "--resume", run, "--steps", "9"], "'\(log)': \(damage.message)")
    #expect(try Data(contentsOf: URL(filePath: log)) == before)
  }

  /// Numbers that a run may have, and that no chart has room for, are drawn as far as they go.
  @Test(arguments: ["1e19", "-1e19", "1e307", "5e-324", "0"], ["nan", "inf", "-inf", "1e19", ""])
  func oddNumbersAreDrawn(_ loss: String, _ validation: String) throws {
    try #require(try embedkernel(options(7)).code == 0)
    var lines = try rows()
    lines[4] = "4,96,0.1,\(loss),\(validation),1,1e19"
    _ = try folder.file("run/losses.csv", lines.joined(separator: "\n") + "\n")
    let result = try embedkernel(["train", "--resume", run, "--steps", "9"])
    try #require(result.code == 0, "\(result.errors)")
    let svg = try String(contentsOfFile: run + "/losses.svg", encoding: .utf8)
    #expect(isWellFormed(svg) && !holdsNoNumber(svg))
    let lost = (loss == "1e307" ? 1 : 0) + (["nan", "inf", "-inf"].contains(validation) ? 1 : 0)
    #expect(svg.contains("\(lost) point") == (lost > 0))
  }

  /// What is no file keeps no run waiting.
  @Test func specialFilesAreRefused() throws {
    try #require(try embedkernel(options(7)).code == 0)
    unsafe mkfifo(folder.path("pipe"), 0o600)
    for place in ["/dev/zero", folder.path("pipe")] {
      try refused(
        ["train", "--text", place, "--output", folder.path("new")],
        "'\(place)' is not a regular file")
      try refused(["evaluate", run, "--text", place], "'\(place)' is not a regular file")
      let words = ["tokenize", place, "--tokenizer", "byte", "--output", folder.path("ids.bin")]
      try refused(words, "'\(place)' is a ")
      try FileManager.default.removeItem(atPath: log)
      try FileManager.default.createSymbolicLink(atPath: log, withDestinationPath: place)
      try refused(["train", "--resume", run], "is not a regular file")
      try rewrite(["run.text": place])
      try refused(["train", "--resume", run], "'\(place)' is not a regular file")
      try refused(["evaluate", run], "'\(place)' is not a regular file")
      try rewrite(["run.text": text])
    }
    #expect(try !folder.contents.contains("new"))
  }

  /// Sizes that the text does not have are refused before memory is taken for them.
  @Test(arguments: [
    ("training.batch", "100000000", "100000000 sequences of 8 needs 800,000,001"),
    ("training.batch", "9223372036854775807", "needs more than there can be"),
    ("training.context", "100000000", "but needs 100000001 or more"),
    ("training.steps", "9223372036854775807", "expected at most 2147483647"),
    ("training.warmup", "9223372036854775807", "expected at most 2147483647"),
    ("run.sample", "1000000000000000000", "run.sample is '1000000000000000000'"),
    ("run.threads", "1000000000000000000", "run.threads is '1000000000000000000'"),
    ("model.layers", "1000000", "model.layers is '1000000'"),
    ("step", "9223372036854775807", "step is '9223372036854775807'"),
  ])
  func sizesOfNothingAreRefused(_ key: String, _ value: String, _ message: String) throws {
    try #require(try embedkernel(options(7)).code == 0)
    try rewrite([key: value])
    try refused(["train", "--resume", run], message)
  }

  @Test(arguments: ["100000000", "9223372036854775807"])
  func aContextThatTheTextDoesNotHaveIsRefused(_ context: String) throws {
    try #require(try embedkernel(options(7) + ["--positions", "sinusoidal"]).code == 0)
    try rewrite(["model.context": context])
    try refused(["evaluate", run], "a sequence of \(context) needs ")
    #expect(try embedkernel(["sample", run, "--tokens", "3"]).code == 0)
  }

  /// Writes the run's checkpoint with other texts.
  private func rewrite(_ texts: [String: String]) throws {
    let path = run + "/checkpoint.safetensors"
    let file = try Safetensors(contentsOf: path)
    var writer = try SafetensorsWriter(
      path,
      tensors: file.header.tensors.map { SafetensorsTensor($0.name, $0.type, shape: $0.shape) },
      metadata: file.header.metadata.merging(texts) { $1 })
    for entry in file.header.tensors {
      let values = try file.elements(of: entry.name, as: Float.self)
      try writer.write(entry.name, values)
    }
    try writer.commit()
  }
}
