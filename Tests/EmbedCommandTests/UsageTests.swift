// Help, version, and command lines that are wrong: exit code 2, a message on standard error that
// says what to do, and nothing on standard output.

import EmbedKernel
import TestSupport
import Testing

@Suite struct UsageTests {
  private static let names = [
    "demo", "embed", "backward", "project", "step", "convert", "rotate", "tokenize", "train",
    "evaluate", "sample", "spectrum", "order", "info", "tune", "completions", "man",
  ]

  @Test(arguments: [["--help"], ["-h"], ["help"]])
  func helpNamesEveryCommand(_ arguments: [String]) throws {
    let result = try embedkernel(arguments)
    #expect(result.code == 0)
    #expect(result.errors.isEmpty)
    for name in Self.names { #expect(result.output.contains("\n  \(name) ")) }
  }

  @Test(arguments: names)
  func everyCommandHasHelp(_ name: String) throws {
    let help = try embedkernel([name, "--help"])
    #expect(help.code == 0)
    #expect(help.errors.isEmpty)
    #expect(help.output.hasPrefix("Usage: embedkernel \(name) "))
    #expect(help.lines.allSatisfy { $0.count <= 80 })
    // Help is given whatever else is on the line.
    #expect(try embedkernel([name, "--nonsense", "-h"]).output == help.output)
    #expect(try embedkernel(["help", name]).output == help.output)
  }

  @Test func hasAVersion() throws {
    let result = try embedkernel(["--version"])
    #expect(result.code == 0)
    #expect(result.output.wholeMatch(of: /embedkernel \d+\.\d+\.\d+\n/) != nil)
  }

  @Test func wantsACommand() throws {
    let result = try embedkernel([])
    #expect(result.code == 2)
    #expect(result.output.isEmpty)
    #expect(result.errors.contains("Usage: embedkernel COMMAND"))
  }

  #if os(Linux)
    @Test(arguments: [["--version"], ["embed", "--help"], ["demo", "--tokenizer", "byte"]])
    func aReportThatCannotBeWrittenIsAFailure(_ arguments: [String]) throws {
      let result = try embedkernel(arguments, to: "/dev/full")
      #expect(result.code == 1)
      #expect(
        result.errors == "embedkernel: cannot write to standard output: No space left on device\n")
    }
  #endif

  static let faults: [(arguments: String, message: String)] = [
    ("emebd", "unknown command 'emebd'; did you mean 'embed'?"),
    ("help tokenise", "unknown command 'tokenise'; did you mean 'tokenize'?"),
    ("--halp", "unknown option '--halp'; did you mean '--help'?"),
    ("embed", "--text or --token-ids is needed"),
    ("embed --token-ids i.npy", "--token-ids needs --token-table"),
    ("embed --bacth 8", "unknown option '--bacth'; did you mean '--batch'?"),
    ("embed --text", "option --text needs a value: --text FILE"),
    ("embed --text t --dim 0", "option --dim: '0' is not an integer of 1 or more"),
    ("embed --text t --threads 2000", "'2000' is not an integer of 1 to 1024"),
    (
      "embed --text t --backend blas",
      "option --backend: 'blas' is none of auto, openblas, simd, native"
    ),
    ("embed --text t --positions sine", "'sine' is none of learned, sinusoidal, none"),
    ("embed --text t --unknown-ids zero", "did you mean 'zero-row'?"),
    ("embed --text t --scale big", "option --scale: 'big' is not a finite number"),
    ("embed --text t --scale 1e300", "too large for float32"),
    ("embed --text t --sinusoid-base 5", "--sinusoid-base is for --positions sinusoidal"),
    ("embed --text t --token-table t.npy", "--token-table does not fit here"),
    ("embed --text t --positions none --mask m.npy", "--mask does not fit here: no positions"),
    ("embed --text t --tokenizer byte --vocabulary v", "not for the byte tokenizer"),
    ("embed --token-ids i --token-table t --dim 8", "--dim does not fit here: sizes come from"),
    ("embed --token-ids i --token-table t --mask m", "--mask does not fit here: no positions"),
    ("embed --token-ids i --token-table t --positions learned", "needs --position-table"),
    (
      "embed --token-ids i --token-table t --position-table p --positions none",
      "--position-table is for --positions learned"
    ),
    (
      "embed --token-ids i --token-table t --position-table p --mask m --position-offset 1",
      "--position-offset and --mask exclude each other"
    ),
    ("tokenize", "FILE is missing"), ("tokenize a", "--output FILE.bin is missing"),
    ("tokenize a b --output c", "unexpected argument 'b'"),
    ("tokenize a --output c --width uint8", "'uint8' is none of uint16, uint32"),
    ("info now", "unexpected argument 'now'"),
    ("demo --seed x", "option --seed: 'x' is not an integer of 0 to"),
  ]

  @Test(arguments: faults)
  func faultsExitWith2(_ arguments: String, _ message: String) throws {
    let words = arguments.split(separator: " ").map(String.init)
    let result = try embedkernel(words)
    #expect(result.code == 2)
    #expect(result.output.isEmpty)
    #expect(result.errors.contains(message))
    #expect(result.errors.contains("--help'."))
  }

  @Test func environmentIsPartOfTheCall() throws {
    let folder = try TemporaryFolder()
    let ids = try folder.array("ids.npy", [0] as [Int32], [1, 1])
    let table = try folder.array("table.npy", [1, 2] as [Float], [1, 2])
    let result = try embedkernel(
      ["embed", "--token-ids", ids, "--token-table", table],
      environment: ["EMBEDKERNEL_BACKEND": "blas"])
    #expect(result.code == 2)
    #expect(result.errors.contains("EMBEDKERNEL_BACKEND is 'blas'"))
    let set = InstructionSet.allCases.first { !$0.isAvailable }
    let unavailable = try embedkernel(
      ["info"], environment: ["EMBEDKERNEL_INSTRUCTION_SET": try #require(set).rawValue])
    #expect(unavailable.code == 2)
    #expect(unavailable.output.isEmpty)
    #expect(unavailable.errors.contains("is not available on this CPU"))
  }
}
