// Backward and step in one on tables of bfloat16, named like the fp32 ones:
//
// `step/<optimiser>/<backend>/bf16/<workload>/fused`: rows are widened, stepped and rounded at random;
// `.../masters`: steps move master rows, and the touched ones are rounded to nearest.

internal import BenchmarkHarness
internal import EmbedKernel

/// How new values get into the table.
private enum SixteenBitStep: String, CaseIterable {
  case fused
  case masters
}

/// A bfloat16 table with its optimiser.
private final class SixteenBitStepFixture {
  let forward: Fixture
  let optimizer: TableOptimizer
  var groups: RowGroups

  init(_ forward: Fixture, _ rule: UpdateRule, _ form: SixteenBitStep) throws {
    self.forward = forward
    let table = try EmbeddingTable<BFloat16>(rounding: forward.tokens)
    optimizer = try TableOptimizer(
      rule, for: table,
      updates: form == .masters ? .masters(table.widened()) : .stochastic(seed: 1))
    groups = try RowGroups(capacity: forward.workload.tokens)
    // What stands for the gradient of the output, as in the fp32 steps.
    try unsafe Initialization.uniform(low: -1, high: 1).fill(forward.output.unsafeBuffer, seed: 3)
  }

  func step(_ call: Int, _ kernels: Kernels) throws(EmbedError) {
    let workload = forward.workload
    let outputGradient = unsafe Span(
      _unsafeElements: UnsafeBufferPointer(forward.output.unsafeBuffer))
    let ids = unsafe Span(_unsafeElements: forward.ids[call])
    try groups.group(ids, context: workload.context, vocabulary: workload.vocabulary)
    try optimizer.prepare(groups, using: kernels)
    try optimizer.step(outputGradient: outputGradient, groups: groups, using: kernels)
  }
}

struct SixteenBitStepBenchmarks {
  let store: FixtureStore

  func register(_ workload: Workload, threads: Int) {
    for rule in SteppedRule.all where ["sgd", "adamw-lazy"].contains(rule.name) {
      for form in SixteenBitStep.allCases {
        for (name, kernels) in Kernels.choices(threads) {
          register(rule, name, kernels, form, workload, threads)
        }
      }
    }
  }

  private func register(
    _ rule: SteppedRule, _ name: String, _ kernels: Kernels, _ form: SixteenBitStep,
    _ workload: Workload, _ threads: Int
  ) {
    Benchmark.register(
      "step/\(rule.name)/\(name)/bf16/\(workload.name)/\(form.rawValue)/threads:\(threads)",
      unit: workload.outputBytes < 1 << 20 ? .microsecond : .millisecond
    ) { state in
      let fixture = try SixteenBitStepFixture(store.fixture(workload), rule.make(), form)
      OpenBLAS.setThreads(threads)
      let batches = unsafe fixture.forward.ids.count
      var call = 0
      try state.measure { () throws(EmbedError) in
        try fixture.step(call, kernels)
        call += 1
        if call == batches { call = 0 }
      }
      state.setCounter("time_per_token", Double(workload.tokens), as: .secondsPer)
      state.setCounter("state_bytes", Double(fixture.optimizer.stateBytes))
      state.setCounter("batch_bytes", Double(fixture.optimizer.scratchBytes))
    }
  }
}
