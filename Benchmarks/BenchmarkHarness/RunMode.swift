// What one run of a benchmark does with its body: time it, time it slowed on purpose, or count the
// instructions of a single call under callgrind.
//
// Slowing repeats a part of the calls, so that a kernel of any kind takes longer by exactly that
// part: it shows that a comparison catches what it should. It is in benchmark programs alone; the
// measured libraries know nothing of it.

internal import CCallgrind
internal import Foundation

/// A benchmark made slower on purpose, from the environment: `EMBEDBENCH_SLOWDOWN=1.10` slows all,
/// `EMBEDBENCH_SLOWDOWN=1.10:forward/auto` those whose names contain what follows the colon.
internal struct Slowdown: Equatable {
  static let variable = "EMBEDBENCH_SLOWDOWN"

  var factor: Double
  var part: String

  /// Nil if `text` is not a factor from 1 to 100, alone or with a part of a name.
  init?(_ text: String) {
    let halves = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard let factor = Double(halves[0]), (1...100).contains(factor) else { return nil }
    self.factor = factor
    part = halves.count == 2 ? String(halves[1]) : ""
  }

  /// Calls of the body for `iterations` iterations. Exact to half a call.
  func calls(_ iterations: Int, of name: String) -> Int {
    guard part.isEmpty || name.contains(part) else { return iterations }
    return Int((Double(iterations) * factor).rounded())
  }
}

/// What all benchmarks of a run have in common.
internal enum RunMode: Sendable {
  case timed
  case slowed(Slowdown)

  /// One call counted, after a few that bring about the steady state.
  case counted

  /// Calls before the one that is counted: the first may allocate, the second may grow a buffer.
  static let warmUps = 2
}

/// One run of one benchmark: the library's iterations as calls of the body, in one or more batches.
internal final class RunPlan {
  private let name: String
  private let mode: RunMode
  private var isCounting = false

  init(_ name: String, _ mode: RunMode) {
    self.name = name
    self.mode = mode
  }

  /// All calls of the body, for so many of the library's iterations.
  func calls(_ iterations: Int) -> Int {
    switch mode {
    case .timed: iterations
    case .slowed(let slowdown): slowdown.calls(iterations, of: name)
    case .counted: RunMode.warmUps + 1
    }
  }

  /// The calls of the first batch.
  func first(_ iterations: Int) -> Int {
    if case .counted = mode { RunMode.warmUps } else { calls(iterations) }
  }

  /// The calls of the batch after the last, 0 at the end.
  func next() -> Int {
    guard case .counted = mode else { return 0 }
    if isCounting {
      // First, so that handing over the name is not counted.
      cg_end()
      unsafe cg_write(name)
      isCounting = false
      return 0
    }
    isCounting = true
    cg_begin()
    return 1
  }
}
