// What measuring and dispatching themselves cost: an iteration through a closure, an iteration
// inlined, and waking two threads for nothing, by Dispatch and by the C team.

internal import BenchmarkHarness
internal import Dispatch

/// Opaque to the optimiser, so that an iteration which calls it is not removed.
@inline(never)
@_optimize(none)
private func opaque() {}

func registerOverheads(_ store: FixtureStore, threads: Int) {
  Benchmark.register("overhead/closure", unit: .nanosecond) { opaque() }
  Benchmark.register("overhead/inlined", unit: .nanosecond) { state in
    state.measure { opaque() }
  }
  Benchmark.register("overhead/concurrentPerform/threads:\(threads)", unit: .nanosecond) {
    DispatchQueue.concurrentPerform(iterations: threads) { _ in opaque() }
  }
  Benchmark.register("overhead/c_team/threads:\(threads)", unit: .nanosecond) { state in
    let team = try store.team(threads)
    state.measure { team.runEmpty() }
  }
}
