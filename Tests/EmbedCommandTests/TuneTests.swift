// `tune` saves a file that the next process takes, `info` tells which is in force, and a choice follows
// from times only where they are clear.

import EmbedCommand
import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite(.serialized) struct TuneTests {
  #if !DEBUG
    // Unoptimised, a call of 48 MB takes seconds, and hundreds are measured.
    @Test func tunesSavesAndUses() throws {
      let folder = try TemporaryFolder()
      let cache = folder.path("cache")
      let environment: [String: String?] = ["EMBEDKERNEL_TUNING": nil, "XDG_CACHE_HOME": cache]
      let before = try embedkernel(["info"], environment: environment)
      #expect(before.output.contains("Tuning: built in, as there is no '\(cache)/embedkernel/"))

      let run = try embedkernel(
        ["tune", "--seconds", "1", "--when-busy", "save"], environment: environment)
      #expect(run.code == 0)
      #expect(run.output.contains("past the cache from"))
      let path = try #require(run.lines.last?.split(separator: "'").dropFirst().first).description
      #expect(path.hasPrefix(cache + "/embedkernel/tuning-"))
      let machine = try #require(TunedMachine.current)
      #expect(throws: Never.self) { try TuningFile(reading: path, for: machine) }
      let after = try embedkernel(["info"], environment: environment)
      #expect(after.output.contains("Tuning: measured on this machine, '\(path)'"))
    }
  #endif

  @Test func aFileOfOnesOwn() throws {
    let folder = try TemporaryFolder()
    var tuning = Tuning()
    tuning.prefetchRows = 29
    let machine = try #require(TunedMachine.current)
    let path = folder.path("mine.json")
    try TuningFile(tuning: tuning, machine: machine).write(to: path)
    let info = try embedkernel(["info"], environment: ["EMBEDKERNEL_TUNING": path])
    #expect(info.output.contains("Tuning: measured on this machine, '\(path)'"))
    #expect(info.output.contains("29 rows ahead"))
    try "{".write(toFile: path, atomically: true, encoding: .utf8)
    let corrupted = try embedkernel(["info"], environment: ["EMBEDKERNEL_TUNING": path])
    #expect(corrupted.code == 0)
    #expect(
      corrupted.output.contains("Tuning: built in, as '\(path)' is ignored: byte 1: expected"))
    let off = try embedkernel(["info"])
    #expect(off.output.contains("Tuning: built in, as EMBEDKERNEL_TUNING is off"))
  }

  @Test func oneAtATimeSavesInAFolder() throws {
    let folder = try TemporaryFolder()
    let first = try startedEmbedkernel(
      ["tune", "--seconds", "25", "--output", folder.path("first.json")])
    defer {
      first.terminate()
      first.waitUntilExit()
    }
    // Where the first has not come so far, the second is the one that measures; it is not waited for.
    var refused = false
    for _ in 0..<200 where !refused && first.isRunning {
      let probe = unsafe open(folder.path(""), O_RDONLY)
      refused = flock(probe, LOCK_EX | LOCK_NB) != 0
      close(probe)
      usleep(20_000)
    }
    try #require(refused, "the first has locked the folder")
    let second = try embedkernel(["tune", "--seconds", "1", "--output", folder.path("second.json")])
    #expect(second.code == 1)
    #expect(second.errors.contains("another embedkernel is writing in '"))
    #expect(second.errors.split(separator: "\n").count == 1)
    #expect(try folder.contents == [])
  }

  @Test func whatCannotBeDoneIsSaid() throws {
    let home = try embedkernel(
      ["tune"], environment: ["HOME": nil, "XDG_CACHE_HOME": "relative/is/ignored"])
    #expect(home.code == 2)
    #expect(home.errors.contains("name a file by --output"))
    let set = try embedkernel(["tune"], environment: ["EMBEDKERNEL_INSTRUCTION_SET": "plain"])
    #expect(set.code == 2)
    #expect(set.errors.contains("unset EMBEDKERNEL_INSTRUCTION_SET"))
    let long = try embedkernel(["tune", "--seconds", "26"])
    #expect(long.code == 2)
    let folder = try TemporaryFolder()
    let nowhere = try embedkernel(
      ["tune", "--seconds", "1", "--output", try folder.file("f", "") + "/t.json"])
    #expect(nowhere.code == 1)
    #expect(nowhere.errors.contains("Not a directory") || nowhere.errors.contains("exists"))
  }

  // MARK: Choosing

  @Test func aLimitIsWhereTheSecondWayStartsToWin() {
    let sizes = [1, 2, 4, 8]
    let contests = [[1, 3], [2, 3], [4, 2], [8, 3]].map { Contest(seconds: $0) }
    #expect(Crossover.limit(sizes, contests, builtIn: 4) == Choice(value: 4, gain: 0))
    let fromNever = Crossover.limit(sizes, contests, builtIn: Tuning.never)
    #expect(fromNever.value == 4)
    // The fourth root of 4/2 * 8/3.
    #expect(abs(fromNever.gain - 0.5197) < 1e-3)
    let fromAlways = Crossover.limit(sizes, contests, builtIn: 1)
    #expect(fromAlways.value == 4)
  }

  @Test func noiseChangesNothing() {
    let sizes = [1, 2, 4, 8]
    let contests = [[1, 1.02], [1, 0.98], [1.01, 1], [1, 1.01]].map { Contest(seconds: $0) }
    for builtIn in [0, 1, 3, 8, Tuning.never] {
      #expect(
        Crossover.limit(sizes, contests, builtIn: builtIn) == Choice(value: builtIn, gain: 0))
    }
    #expect(
      Crossover.way(["a", "b"], [Contest(seconds: [1, 0.98])]) == Choice(value: "a", gain: 0))
  }

  @Test func aChangeIsSureWhereRoundsAgree() {
    func contest(_ ratios: [Double]) -> Contest {
      Contest(rounds: [ratios, ratios.map { _ in 1 }])
    }
    let faster = [1.05, 1.02, 1.06, 1.04, 1.01, 1.03, 1.05, 1.02]
    #expect(Crossover.isSure([contest(faster)]))
    // Five of five are one in 32 of equal ways, seven of eight one in 28.
    #expect(!Crossover.isSure([contest(Array(faster[..<5]))]))
    #expect(!Crossover.isSure([contest(faster.dropLast() + [0.9])]))
    #expect(Crossover.isSure([contest(faster), contest(faster.dropLast() + [0.9])]))
    // However much one gains, nothing may lose.
    let slower = faster.map { 1 / $0 }
    #expect(!Crossover.isSure([contest(faster + faster + faster), contest(slower)]))
    #expect(!Crossover.losesNowhere([contest(faster), contest(slower)]))
    #expect(Crossover.losesNowhere([contest(faster), contest([1, 0.995, 1.002])]))
  }

  @Test func theFastestWayWinsOverAllContests() {
    let contests = [[1, 0.5, 0.9], [1, 1.2, 0.8]].map { Contest(seconds: $0) }
    let choice = Crossover.way(["a", "b", "c"], contests)
    #expect(choice.value == "b")
    #expect(abs(choice.gain - 0.291) < 1e-3)
  }
}
