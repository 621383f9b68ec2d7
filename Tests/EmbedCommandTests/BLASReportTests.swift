// `info --check`: the verdict on this machine's OpenBLAS, and how faults would be told.

import EmbedCommand
import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct BLASReportTests {
  private static let routines = BLASCheck.all.map(\.routine)

  /// Where this fails, other failures may be OpenBLAS's: its report says which routine, and what to do.
  @Test func thisOpenBLASComputesRight() throws {
    let result = try embedkernel(["info", "--check"])
    #expect(result.code == 0, "\(result.output)\(result.errors)")
    for routine in Self.routines {
      #expect(result.lines.contains { $0.hasPrefix("  \(routine) ") && $0.contains(" right ") })
    }
    #expect(result.output.contains(OpenBLASLibrary.core))
    #expect(result.lines.last == "OpenBLAS computes right on this CPU.")
  }

  /// Every routine that the library calls is checked.
  @Test func noRoutineIsLeftOut() throws {
    let header = try String(
      contentsOf: URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../Sources/CBLASCalls/library.h"), encoding: .utf8)
    let called = header.matches(of: /, (?:cblas|LAPACKE)_(\w+)\)/).map { String($0.1) }
    #expect(called.count > 5)
    #expect(Set(called) == Set(Self.routines))
  }

  struct Advice: Sendable {
    let core: String
    let features: [String]
    var chosen: String?
    let says: [String]
  }

  @Test(arguments: [
    Advice(
      core: "Prescott", features: ["avx", "avx2", "fma", "avx512f"],
      says: ["Prescott's kernels are for SSE", "has AVX-512", "OPENBLAS_CORETYPE=SkylakeX"]),
    Advice(
      core: "Haswell", features: ["avx", "avx2", "fma", "avx512f"], chosen: "Haswell",
      says: ["are for AVX2", "OPENBLAS_CORETYPE=Haswell says so", "OPENBLAS_CORETYPE=SkylakeX"]),
    Advice(
      core: "SANDYBRIDGE", features: ["avx", "avx2", "fma"],
      says: ["are for AVX,", "OPENBLAS_CORETYPE=Haswell"]),
    // AVX2 without fused products is of no use to OpenBLAS.
    Advice(core: "Sandybridge", features: ["avx", "avx2"], says: []),
    Advice(core: "Zen", features: ["avx", "avx2", "fma"], says: []),
    Advice(core: "Cooperlake", features: ["avx", "avx2", "fma", "avx512f"], says: []),
    Advice(core: "neoversen1", features: ["asimd"], says: []),
    Advice(core: "none", features: ["avx"], says: []),
  ])
  func kernelsBelowTheCPUAreTold(_ example: Advice) {
    let advice = BLASCore.advice(
      core: example.core, features: example.features, chosen: example.chosen)
    #expect((advice == nil) == example.says.isEmpty)
    for words in example.says { #expect(advice?.contains(words) == true, "\(advice ?? "nothing")") }
  }

  @Test func aSwitchTakesNoValue() throws {
    let check = Option(switch: "check", "A switch")
    #expect(try Arguments(["--check"], options: [check]).has(check))
    #expect(throws: CommandError.usage("option --check takes no value")) {
      try Arguments(["--check=1"], options: [check])
    }
  }

  private func output(_ last: String...) -> String {
    (["library OpenBLAS 0.3.21", "core Zen", "begin sscal", "right sscal 54"] + last)
      .joined(separator: "\n")
  }

  @Test func aWrongResultIsTold() throws {
    let verdict = BLASVerdict(
      output: output("begin sgemm", "wrong sgemm 33 x 7 x 65: c[3] is 1.0, not 2.0"), ending: nil)
    let message = try #require(verdict.message(cpu: "A CPU"))
    for part in ["sgemm", "c[3] is 1.0, not 2.0", "OpenBLAS 0.3.21", "Zen", "A CPU", "newer"] {
      #expect(message.contains(part), "\(part) in '\(message)'")
    }
  }

  @Test func aCrashIsToldWithTheRoutine() throws {
    let verdict = BLASVerdict(
      output: output("begin sgemv"), ending: "crashed: Illegal instruction")
    let message = try #require(verdict.message(cpu: "A CPU"))
    #expect(message.contains("sgemv crashed: Illegal instruction"))
    #expect(verdict.lines.last?.outcome == "FAILED")
  }

  @Test func aCheckThatEndsEarlyIsNoGoodOne() throws {
    for (text, ending) in [("", nil), ("", "crashed: Killed"), (output(), nil)]
      as [(String, String?)]
    {
      #expect(BLASVerdict(output: text, ending: ending).message(cpu: "A CPU") != nil)
    }
    let whole = Self.routines.map { "begin \($0)\nright \($0) 3" }.joined(separator: "\n")
    #expect(BLASVerdict(output: whole, ending: nil).message(cpu: "A CPU") == nil)
  }
}

/// A call that needs no product must not open OpenBLAS, whose threads need more memory than some
/// shells allow: it then hangs as the process ends.
@Suite struct LittleMemoryTests {
  @Test func embeddingNeedsNoThreadsOfOpenBLAS() throws {
    let folder = try TemporaryFolder()
    let ids = try folder.array("ids.npy", [0, 2, 1] as [Int32], [1, 3])
    let table = try folder.array("table.npy", [1, 2, 3, 4, 5, 6] as [Float], [3, 2])
    let output = folder.path("output.npy")
    let process = Process()
    process.executableURL = URL(filePath: "/bin/bash")
    process.arguments = [
      "-c", "ulimit -v 200000 && exec \"$@\"", "bash", try builtCommand().path, "embed",
      "--token-ids", ids, "--token-table", table, "--position-table", table, "--output", output,
    ]
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    let end = ContinuousClock.now + .seconds(60)
    while process.isRunning, ContinuousClock.now < end { usleep(10_000) }
    let hangs = process.isRunning
    if hangs { kill(process.processIdentifier, SIGKILL) }
    process.waitUntilExit()
    #expect(!hangs)
    #expect(process.terminationStatus == 0)
    #expect(FileManager.default.fileExists(atPath: output))
  }
}
