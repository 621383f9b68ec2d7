// The harness from outside: register, run with flags, read the JSON that Google Benchmark wrote.
// Times come from the manual clock where a figure is checked, so no test depends on the machine.

import BenchmarkHarness
import Foundation
import Testing

/// The library has one registry and one set of flags, so these run one after the other.
@Suite(.serialized)
struct HarnessTests {
  /// A report as far as the tests read it.
  struct Report {
    var context: [String: Any]
    var benchmarks: [[String: Any]]

    func named(_ name: String) throws -> [String: Any] {
      try #require(benchmarks.first { $0["name"] as? String == name }, "no \(name)")
    }
  }

  enum Fault: Error { case broken }

  /// Runs the registered benchmarks; every flag is given, since the library remembers them.
  func run(
    filter: String, interleaved: Int? = nil, minimum: String = "0.001"
  ) throws -> (status: Int32, report: Report) {
    let file = FileManager.default.temporaryDirectory.appending(
      path: "harness-\(UUID().uuidString).json")
    defer { try? FileManager.default.removeItem(at: file) }
    var arguments = [
      "tests", "--benchmark_filter=\(filter)", "--benchmark_out=\(file.path)",
      "--benchmark_out_format=json", "--benchmark_min_time=\(minimum)",
    ]
    if interleaved == nil {
      arguments += ["--benchmark_repetitions=1", "--benchmark_enable_random_interleaving=false"]
    }
    let status = Benchmark.run(arguments, interleaved: interleaved)
    let data = try Data(contentsOf: file)
    guard !data.isEmpty else { return (status, Report(context: [:], benchmarks: [])) }
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    return (
      status,
      Report(
        context: try #require(object["context"] as? [String: Any]),
        benchmarks: try #require(object["benchmarks"] as? [[String: Any]]))
    )
  }

  @Test func filterSelectsByName() throws {
    Benchmark.removeAll()
    var calls = 0
    Benchmark.register("filter/taken") { calls += 1 }
    Benchmark.register("filter/left") { Issue.record("not selected") }
    let (status, report) = try run(filter: "filter/taken")
    #expect(status == 0)
    #expect(report.benchmarks.map { $0["name"] as? String } == ["filter/taken/real_time"])
    let iterations = try #require(report.benchmarks[0]["iterations"] as? Int)
    #expect(iterations > 0)
    #expect(calls >= iterations)
  }

  @Test func countersFollowTheManualClock() throws {
    Benchmark.removeAll()
    Benchmark.register("manual", unit: .millisecond, clock: .manual) { state in
      state.measureManually { .milliseconds(2) }
      state.setBytes(perIteration: 1_000)
      state.setItems(perIteration: 8)
      state.setCounter("plain", 2.5)
      state.setCounter("fraction", 0.001, as: .ratePerIteration)
      state.setCounter("each", 4, as: .secondsPer)
      state.setCounter("mean", Double(3 * state.iterations), as: .average)
      state.setLabel("two")
    }
    let entry = try run(filter: "manual").report.named("manual/manual_time")
    func number(_ key: String) throws -> Double {
      try #require((entry[key] as? NSNumber)?.doubleValue, "no \(key)")
    }
    func near(_ key: String, _ expected: Double) throws {
      let value = try number(key)
      #expect(abs(value / expected - 1) < 1e-6, "\(key): \(value), expected \(expected)")
    }
    try near("real_time", 2)
    try near("bytes_per_second", 500_000)
    try near("items_per_second", 4_000)
    try near("plain", 2.5)
    try near("fraction", 0.5)
    try near("each", 0.000_5)
    try near("mean", 3)
    #expect(entry["time_unit"] as? String == "ms")
    #expect(entry["label"] as? String == "two")
  }

  @Test func everyIterationIsMade() throws {
    Benchmark.removeAll()
    var runs: [(asked: Int, made: Int)] = []
    Benchmark.register("iterations") { state in
      var made = 0
      state.measure { made += 1 }
      runs.append((state.iterations, made))
    }
    let entry = try run(filter: "iterations").report.named("iterations/real_time")
    #expect(runs.allSatisfy { $0.asked == $0.made })
    #expect(runs.last?.made == entry["iterations"] as? Int)
  }

  @Test func pausedWorkIsNotTimed() throws {
    Benchmark.removeAll()
    Benchmark.register("paused", unit: .millisecond) { state in
      state.measure {
        state.pausing { Thread.sleep(forTimeInterval: 0.05) }
      }
    }
    // The measured part is empty and would never fill the minimum time within the test.
    let entry = try run(filter: "paused", minimum: "0.00000001").report.named("paused/real_time")
    let time = try #require((entry["real_time"] as? NSNumber)?.doubleValue)
    #expect(time < 25, "\(time) ms")
  }

  @Test func errorsBecomeFailures() throws {
    Benchmark.removeAll()
    Benchmark.register("throws/iteration") { throw Fault.broken }
    Benchmark.register("throws/setup", body: { _ in throw Fault.broken })
    Benchmark.register("throws/skipped", body: { $0.skip("no such CPU") })
    let report = try run(filter: "throws/").report
    for (name, message) in [
      ("iteration", "broken"), ("setup", "broken"), ("skipped", "no such CPU"),
    ] {
      let entry = try report.named("throws/\(name)/real_time")
      #expect(entry["error_occurred"] as? Bool == true)
      #expect(entry["error_message"] as? String == message)
    }
  }

  @Test func interleavedRunsGiveMedians() throws {
    Benchmark.removeAll()
    for name in ["interleaved/a", "interleaved/b"] {
      Benchmark.register(name, bytes: 64) {}
    }
    let report = try run(filter: "interleaved/", interleaved: 3).report
    for name in ["interleaved/a", "interleaved/b"] {
      let rows = report.benchmarks.filter { $0["run_name"] as? String == "\(name)/real_time" }
      #expect(rows.count { $0["run_type"] as? String == "iteration" } == 3)
      #expect(rows.contains { $0["aggregate_name"] as? String == "median" })
      #expect(rows.allSatisfy { $0["bytes_per_second"] != nil })
    }
  }

  @Test func contextTellsWhatFiguresDependOn() throws {
    Benchmark.removeAll()
    Benchmark.addContext("fact", "a \"quoted\" value")
    Benchmark.addContext("fact", "another")
    Benchmark.register("context") {}
    let context = try run(filter: "context").report.context
    #expect(context["fact"] as? String == "a \"quoted\" value")
    for key in ["commit", "build", "toolchain", "processors", "num_cpus", "caches"] {
      #expect(context[key] != nil, "no \(key)")
    }
    let build = context["build"] as? String
    #if DEBUG
      #expect(build == "debug")
    #else
      #expect(build == "release")
    #endif
  }

  @Test func nothingSelectedIsAFailure() throws {
    Benchmark.removeAll()
    Benchmark.register("some") {}
    #expect(try run(filter: "other").status == 1)
  }

  @Test func unknownArgumentsAreAFailure() {
    #expect(Benchmark.run(["tests", "--benchmark_filtre=x"]) == 1)
  }
}
