// What is not the kernels' work: an iteration through a closure, an iteration inlined, waking two
// threads for nothing, by Dispatch and by the C team, and checking the ids of a batch.

internal import BenchmarkHarness
internal import Dispatch
internal import EmbedKernel

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
  for count in [32, 8_192] {
    registerCheck(of: [Int32](repeating: 50_256, count: count), "i32")
    registerCheck(of: [Int64](repeating: 50_256, count: count), "i64")
  }
}

/// What a forward call spends on finding out that all its ids are in the vocabulary.
private func registerCheck<ID: TokenID>(of ids: [ID], _ type: String) {
  Benchmark.register("overhead/check_ids/\(type)/N\(ids.count)", unit: .nanosecond) { state in
    unsafe ids.withUnsafeBufferPointer { buffer in
      let ids = unsafe TokenIDs(buffer)
      state.measure { if !ids.areAll(below: 50_257) { opaque() } }
    }
  }
}
