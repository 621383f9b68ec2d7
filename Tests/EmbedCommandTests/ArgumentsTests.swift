// The parser and the small functions that lay out what people read.

import EmbedCommand
import EmbedKernel
import Testing

@Suite struct ArgumentsTests {
  private let dim = Option("dim", .integer(), "Floats", otherwise: "the file's")
  private let scale = Option("scale", .number, "Factor", default: 1)
  private let seed = Option("seed", .seed, "Seed")
  private let output = Option("output", .text("FILE"), "File", needed: "OUT.npy")

  private func parse(_ words: String...) throws(CommandError) -> Arguments {
    try Arguments(words, options: [dim, scale, seed, output], operandNames: ["FILE"])
  }

  private func failure(_ words: String...) -> String {
    do throws(CommandError) {
      let arguments = try Arguments(
        words, options: [dim, scale, seed, output], operandNames: ["FILE"])
      _ = try arguments[output]
      return "no error"
    } catch {
      guard case .usage(let message) = error else { return "another error: \(error)" }
      return message
    }
  }

  @Test func takesBothFormsOfAValue() throws {
    let arguments = try parse("--dim", "3", "text", "--scale=-2.5", "--output=a=b")
    #expect(try arguments[dim] == 3)
    #expect(try arguments[scale] == -2.5)
    #expect(try arguments[output] == "a=b")
    #expect(arguments.operands == ["text"])
    #expect(!arguments.has(seed))
    #expect(try arguments[seed] == nil)
  }

  @Test func takesNegativeNumbersAndWhatFollowsTheDashes() throws {
    #expect(try parse("--scale", "-2", "x")[scale] == -2)
    #expect(try parse("--", "--dim").operands == ["--dim"])
    #expect(try parse("-").operands == ["-"])
    #expect(try parse("--output=--odd", "x")[output] == "--odd")
    #expect(try parse("--seed", "18446744073709551615", "x")[seed] == .max)
  }

  @Test func saysWhatIsWrong() {
    #expect(failure("x", "--dimm", "3") == "unknown option '--dimm'; did you mean '--dim'?")
    #expect(failure("x", "--dim") == "option --dim needs a value: --dim N")
    #expect(failure("x", "--dim", "--seed") == "option --dim needs a value: --dim N")
    #expect(failure("x", "--dim=") == "option --dim needs a value: --dim N")
    #expect(failure("x", "--dim", "1", "--dim=2") == "option --dim is given twice")
    #expect(failure("x", "--dim", "0") == "option --dim: '0' is not an integer of 1 or more")
    #expect(failure("x", "--dim", "1e3") == "option --dim: '1e3' is not an integer of 1 or more")
    #expect(failure("x", "--scale", "inf") == "option --scale: 'inf' is not a finite number")
    #expect(
      failure("x", "--seed", "-1") == "option --seed: '-1' is not an integer of 0 to \(UInt64.max)")
    #expect(failure() == "FILE is missing")
    #expect(failure("x", "y") == "unexpected argument 'y'")
    #expect(failure("x", "-d") == "unknown option '-d'")
    #expect(failure("x") == "--output OUT.npy is missing")
  }

  @Test func whatIsNotGivenHasADefault() throws {
    let arguments = try parse("x")
    #expect(try arguments[scale] == 1)
    #expect(try arguments[dim] == nil)
    #expect(dim.help == "Floats (default: the file's).")
    #expect(scale.help == "Factor (default 1).")
    #expect(seed.help == "Seed.")
    #expect(output.help == "File. Needed.")
  }

  @Test(arguments: [
    ("", "", 0), ("abc", "", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "abd", 1),
    ("bacth", "batch", 1), ("kitten", "sitting", 3),
  ])
  func countsEdits(_ a: String, _ b: String, _ count: Int) {
    #expect(edits(from: a, to: b) == count)
    #expect(edits(from: b, to: a) == count)
  }

  @Test(arguments: [
    ("out", "output"), ("OUTPUT", "output"), ("ouptut", "output"), ("batches", "batch"),
    ("qqq", nil), ("o", nil), ("", nil),
  ])
  func findsTheNearestName(_ word: String, _ name: String?) {
    #expect(nearest(to: word, among: ["batch", "output"]) == name)
  }
}

@Suite struct ReportTests {
  @Test(arguments: [
    (0.0, 2, "0.00"), (-0.001, 2, "0.00"), (0.005, 2, "0.01"), (-1.25, 1, "-1.3"),
    (9.999, 2, "10.00"),
    (12.0, 0, "12"), (0.0625, 4, "0.0625"), (-.infinity, 2, "-inf"), (1e300, 2, "1e+300"),
  ])
  func writesNumbers(_ value: Double, _ digits: Int, _ text: String) {
    #expect(fixed(value, digits) == text)
  }

  @Test(arguments: [
    (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (32_768, "32.8 kB"), (999_499, "999 kB"),
    (999_500, "1.00 MB"), (51_463_168, "51.5 MB"), (25_165_824_000, "25.2 GB"),
  ])
  func writesBytes(_ count: Int, _ text: String) {
    #expect(formatted(bytes: count) == text)
  }

  @Test(arguments: [
    (6.58e-7, "658 ns"), (1e-6, "1.00 µs"), (0.001_16, "1.16 ms"), (0.0462, "46.2 ms"),
    (2, "2.00 s"),
  ])
  func writesTimes(_ seconds: Double, _ text: String) {
    #expect(formatted(seconds: seconds) == text)
  }

  @Test func writesCounts() {
    #expect(grouped(1_796_954) == "1,796,954")
    #expect(grouped(-1000) == "-1,000")
    #expect(plural(1, "token") == "1 token")
    #expect(plural(0, "token") == "0 tokens")
    #expect(formatted(memory: 32 << 10) == "32 KiB")
    #expect(formatted(memory: 3 << 19) == "1.5 MiB")
  }

  @Test func quotesTextOnOneLine() {
    #expect(quoted("it's \"so\"\n\\ é") == #""it's \"so\"\n\\ é""#)
  }

  @Test func wrapsAtSpaces() {
    #expect(wrap("one two three", width: 7) == ["one two", "three"])
    #expect(wrap("overlong", width: 3) == ["overlong"])
    #expect(wrap("", width: 3) == [""])
  }

  @Test func readsTheSystemsLists() {
    #expect(Machine.byteCount("32K") == 32 << 10)
    #expect(Machine.byteCount("1M") == 1 << 20)
    #expect(Machine.byteCount("9999999999999G") == nil)
    #expect(Machine.byteCount("K") == nil)
    #expect(Machine.cpuCount("0-3,8") == 5)
    #expect(Machine.busyTicks("cpu  10 2 30 4000 500 6 7 80 0 0") == 135)
    #expect(Machine.busyTicks("cpu  10 2 30 4000 500 6 7") == nil)
    #expect(Machine.busyTicks("cpu0 10 2 30 4000 500 6 7 80 0 0") == nil)
    #expect(Machine.busyTicks("cpu  10 2 x 4000 500 6 7 80 0 0") == nil)
    #expect(Machine.cpuCount("7") == 1)
    #expect(Machine.cpuCount("") == 0)
  }
}
