// A tuning file that is written is read back; one that is damaged, missing, of another machine or out
// of bounds leaves the built-in tuning in force and says why.

import EmbedKernel
import Foundation
import TestSupport
import Testing
import TuningOff

private let machine = TunedMachine(cpu: "A \"CPU\"\\\t1.0, model 7", threads: 4)

/// A tuning in which every field differs from what is built in.
private var changed: Tuning {
  var tuning = Tuning()
  tuning.parallelBytes = Tuning.never
  tuning.streamingBytes = 1 << 16
  tuning.prefetchRows = 31
  tuning.prefetchLimit = 6 << 10
  tuning.nearBytes = 5 << 10
  tuning.byPositionBytes = 7 << 20
  tuning.updateBytesAhead = 3 << 10
  tuning.updateNearBytes = 0
  tuning.avx2Dim = 512
  tuning.avx2Bytes = 1 << 20
  tuning.backends.small = .simd
  tuning.backends.medium = .openBLAS
  tuning.backends.large = .simd
  return tuning
}

@Suite struct TuningFileTests {
  @Test func testsRunWithTheBuiltInTuning() {
    #expect(tuning_is_off() == 1)
    #expect(TuningSource.ofProcess.origin == .builtIn("EMBEDKERNEL_TUNING is off"))
    #expect(Tuning.inForce == Tuning.builtIn)
  }

  @Test func whatIsWrittenIsReadBack() throws {
    let folder = try TemporaryFolder()
    let cache = folder.path("new/embedkernel")
    let path = TuningSource.path(cache, machine)
    let file = TuningFile(tuning: changed, machine: machine)
    try file.write(to: path)
    #expect(try TuningFile(reading: path, for: machine) == file)
    let source = TuningSource(choice: nil, cacheFolder: cache, machine: machine)
    #expect(source.tuning == changed)
    #expect(source.origin == .file(path))
    // A path that is named wins over the folder, and `auto` is as good as nothing.
    #expect(TuningSource(choice: path, cacheFolder: nil, machine: machine).tuning == changed)
    #expect(TuningSource(choice: "auto", cacheFolder: cache, machine: machine).tuning == changed)
    let off = TuningSource(choice: "off", cacheFolder: cache, machine: machine)
    #expect(off.tuning == Tuning.builtIn)
    // Nothing temporary is left beside it.
    #expect(try FileManager.default.contentsOfDirectory(atPath: cache).count == 1)
    try FileManager.default.removeItem(atPath: path)
    let gone = TuningSource(choice: nil, cacheFolder: cache, machine: machine)
    #expect(gone.tuning == Tuning.builtIn)
    #expect(gone.origin == .builtIn("there is no '\(path)'"))
  }

  @Test func everyPrefixIsRefused() throws {
    let bytes = Array(TuningFile(tuning: changed, machine: machine).text.utf8)
    for count in 0..<bytes.count - 1 {
      #expect(throws: TuningFileError.self) {
        try TuningFile(parsing: Array(bytes[..<count]), for: machine)
      }
    }
  }

  @Test func damagedBytesGiveAnErrorOrATuningWithinBounds() {
    let bytes = Array(TuningFile(tuning: changed, machine: machine).text.utf8)
    let seed: UInt64 = 20_251
    var generator = SeededGenerator(seed: seed)
    for round in 0..<3_000 {
      var damaged = bytes
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        damaged[Int.random(in: damaged.indices, using: &generator)] =
          UInt8.random(in: .min ... .max, using: &generator)
      }
      guard let tuning = try? TuningFile(parsing: damaged, for: machine).tuning else { continue }
      #expect((1...256).contains(tuning.prefetchRows), "seed \(seed), round \(round)")
      #expect((1 << 10...Tuning.never).contains(tuning.parallelBytes))
      #expect((1 << 16...Tuning.never).contains(tuning.streamingBytes))
      #expect((16...Tuning.never).contains(tuning.avx2Dim))
      #expect((1 << 16...Tuning.never).contains(tuning.avx2Bytes))
      #expect((1 << 10...1 << 20).contains(tuning.updateBytesAhead))
      #expect((0...1 << 20).contains(tuning.updateNearBytes))
      #expect((1 << 10...1 << 24).contains(tuning.prefetchLimit))
      #expect((0...1 << 20).contains(tuning.nearBytes))
      #expect((1 << 10...Tuning.never).contains(tuning.byPositionBytes))
    }
  }

  static let hostile: [(field: String, value: String)] = [
    ("format", "2"), ("format", "\"3\""), ("cpu", "7"), ("cpu", "\"\""), ("threads", "0"),
    ("threads", "-4"), ("threads", "8"), ("parallel_bytes", "0"), ("parallel_bytes", "-1"),
    ("parallel_bytes", "9223372036854775807"), ("parallel_bytes", "1e400"),
    ("parallel_bytes", "99999999999999999999999"), ("parallel_bytes", "null"),
    ("streaming_bytes", "1"), ("streaming_bytes", "-9223372036854775808"),
    ("streaming_bytes", "1048576.5"), ("streaming_bytes", "[]"), ("prefetch_rows", "0"),
    ("prefetch_rows", "257"), ("prefetch_rows", "NaN"), ("prefetch_rows", "true"),
    ("update_bytes_ahead", "1023"), ("update_bytes_ahead", "1048577"), ("update_near_bytes", "-1"),
    ("update_near_bytes", "0.5"), ("avx2_bytes", "65535"), ("avx2_bytes", "null"),
    ("near_bytes", "-1"), ("near_bytes", "1048577"), ("by_position_bytes", "1023"),
    ("prefetch_limit", "1023"), ("prefetch_limit", "16777217"),
    ("avx2_dim", "15"), ("avx2_dim", "-128"), ("small_backend", "\"cuda\""),
    ("medium_backend", "3"), ("large_backend", "null"), ("large_backend", "\"NATIVE\""),
  ]

  @Test(arguments: hostile)
  func aHostileValueIsRefusedByName(_ field: String, _ value: String) throws {
    let lines = TuningFile(tuning: changed, machine: machine).text.split(separator: "\n").map {
      line in
      guard line.contains("\"\(field)\": ") else { return String(line) }
      return "  \"\(field)\": \(value)" + (line.hasSuffix(",") ? "," : "")
    }
    let folder = try TemporaryFolder()
    let path = TuningSource.path(folder.url.path, machine)
    try lines.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
    let source = TuningSource(choice: nil, cacheFolder: folder.url.path, machine: machine)
    #expect(source.tuning == Tuning.builtIn)
    guard case .builtIn(let reason) = source.origin else {
      Issue.record("\(field) = \(value) is in force")
      return
    }
    #expect(reason.hasPrefix("'\(path)' is ignored: "))
    let isIdentity = (field == "cpu" && value == "\"\"") || (field == "threads" && value == "8")
    #expect(reason.contains(isIdentity ? "measured on" : field), "\(reason)")
  }

  @Test func anotherMachinesFileIsIgnored() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("t.json")
    try TuningFile(tuning: changed, machine: machine).write(to: path)
    for other in [
      TunedMachine(cpu: machine.cpu, threads: 3), TunedMachine(cpu: "Another", threads: 4),
    ] {
      let source = TuningSource(choice: path, cacheFolder: nil, machine: other)
      #expect(source.tuning == Tuning.builtIn)
      #expect(
        source.origin
          == .builtIn("'\(path)' is ignored: measured on \(machine), and this is \(other)"))
      #expect(other.fileName != machine.fileName)
    }
  }

  @Test func whatIsNoFileIsHarmless() throws {
    let folder = try TemporaryFolder()
    let long = folder.path("long")
    try String(repeating: " ", count: 1 << 20).write(
      toFile: long, atomically: true, encoding: .utf8)
    let pipe = folder.path("pipe")
    let made = unsafe mkfifo(pipe, 0o600)
    try #require(made == 0)
    for path in [folder.url.path, long, pipe, "/dev/zero", "nul\0byte", folder.path("none")] {
      let source = TuningSource(choice: path, cacheFolder: nil, machine: machine)
      #expect(source.tuning == Tuning.builtIn, "\(path)")
    }
    #expect(TuningSource(choice: nil, cacheFolder: nil, machine: machine).tuning == Tuning.builtIn)
    #expect(TuningSource(choice: nil, cacheFolder: "/", machine: nil).tuning == Tuning.builtIn)
  }

  @Test func aFolderThatCannotBeMadeIsAnError() throws {
    let folder = try TemporaryFolder()
    try "".write(toFile: folder.path("file"), atomically: true, encoding: .utf8)
    #expect(throws: FileError.self) {
      try TuningFile(tuning: Tuning(), machine: machine).write(to: folder.path("file/sub/t.json"))
    }
  }

  #if os(Linux)
    @Test func aCPUIsKnownByTheFirstPartOfItsFacts() {
      let facts = CPUFacts(
        parsing: """
          processor\t: 0
          cpu family\t: 25
          model\t\t: 17
          model name\t: AMD EPYC: a name
          stepping\t: 1

          processor\t: 1
          model name\t: another
          """)
      #expect(facts.name == "AMD EPYC: a name")
      #expect(facts.identity == "AMD EPYC: a name, cpu family 25, model 17, stepping 1")
      #expect(CPUFacts(parsing: "").identity == nil)
      #expect(CPUFacts(parsing: "CPU part\t: 0xd0c\n").identity == "part 0xd0c")
      #expect(CPUFacts.current.identity != nil)
    }
  #endif

  @Test func aFilesNameIsPlain() {
    #expect(machine.fileName == "tuning-a-cpu-1-0-model-7-4-cpus.json")
    let odd = TunedMachine(cpu: "../../ÄÖ/\0" + String(repeating: "x", count: 999), threads: 1)
    #expect(odd.fileName.utf8.count < 200)
    #expect(odd.fileName.allSatisfy { $0.isASCII && $0 != "/" && $0 != "\0" })
  }
}
