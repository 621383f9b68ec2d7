// Optimiser steps, and the hand-written C loop, over the same memory and groups.
//
// `step/<optimiser>/<backend>/f32/<workload>/fused`: backward and step in one, of the token table,
// grouping included; its bar `c_loop` has the groups given. `.../backward`: the gradient of the table
// written to memory first. `.../training`: forward, backward and step of token and position tables.
// Optimisers named `-lazy` leave rows without gradient as they are, `-exact-lazy` catch them up.

internal import BenchmarkHarness
internal import CReferenceLoops
internal import EmbedKernel
internal import Foundation

extension Workload {
  /// The shapes that steps are quoted for.
  static let stepped: [Workload] =
    [seed, gpt2, Workload(50_257, 8, 1_024, 768, .zipf), Workload(50_257, 8, 4, 256, .zipf)]
}

/// How much of a training step is measured.
enum StepForm: String, CaseIterable {
  case fused
  case backward
  case training
}

/// An optimiser under a name of its own.
struct SteppedRule: Sendable {
  let name: String
  let make: @Sendable () throws -> UpdateRule

  /// A rate so small that values stay as they are over thousands of iterations.
  private static let rate = LearningRate.constant(1e-7)

  static let all: [SteppedRule] = [
    SteppedRule(name: "sgd") { try .sgd(learningRate: rate) },
    SteppedRule(name: "momentum-lazy") {
      try .momentum(learningRate: rate, untouched: .left)
    },
    SteppedRule(name: "adagrad") { try .adagrad(learningRate: rate) },
    SteppedRule(name: "row-wise-adagrad") { try .rowWiseAdagrad(learningRate: rate) },
    SteppedRule(name: "adam-lazy") { try .adam(learningRate: rate, untouched: .left) },
    SteppedRule(name: "adamw-lazy") { try .adamW(learningRate: rate, untouched: .left) },
    SteppedRule(name: "adamw-exact-lazy") {
      try .adamW(learningRate: rate, untouched: .caughtUp)
    },
    SteppedRule(name: "adamw-lazy-bf16-moments") {
      try .adamW(learningRate: rate, untouched: .left).storingMoments(as: .bfloat16)
    },
    SteppedRule(name: "adamw-exact-lazy-bf16-moments") {
      try .adamW(learningRate: rate, untouched: .caughtUp).storingMoments(as: .bfloat16)
    },
    SteppedRule(name: "adamw") { try .adamW(learningRate: rate) },
    SteppedRule(name: "lamb-lazy") { try .lamb(learningRate: rate, untouched: .left) },
  ]
}

/// A layer with its optimiser.
@safe final class StepFixture {
  let forward: Fixture
  let layer: InputEmbedding
  let optimizer: Optimizer
  let output: AlignedBuffer<Float>
  var groups: RowGroups
  var gradient: RowSparseGradient
  var workspace: BackwardWorkspace
  /// The moments of the C loop.
  let first: EmbeddingTable<Float>
  let second: EmbeddingTable<Float>

  init(_ forward: Fixture, _ rule: UpdateRule) throws {
    self.forward = forward
    layer = try InputEmbedding(
      tokens: TokenEmbedding(table: forward.tokens), positions: forward.positions)
    optimizer = try Optimizer(rule, for: layer)
    output = try AlignedBuffer(count: forward.workload.outputCount)
    groups = try RowGroups(capacity: forward.workload.tokens)
    gradient = try RowSparseGradient(rows: forward.tokens.rows, dim: forward.tokens.dim)
    workspace = try BackwardWorkspace()
    first = try EmbeddingTable<Float>(rows: forward.tokens.rows, dim: forward.tokens.dim)
    second = try EmbeddingTable<Float>(rows: forward.tokens.rows, dim: forward.tokens.dim)
    // What stands for the gradient of the output: the fixture's output, which nothing else fills.
    try unsafe Initialization.uniform(low: -1, high: 1).fill(forward.output.unsafeBuffer, seed: 3)
  }

  func step(_ call: Int, _ form: StepForm, _ kernels: Kernels) throws(EmbedError) {
    let workload = forward.workload
    let outputGradient = unsafe Span(
      _unsafeElements: UnsafeBufferPointer(forward.output.unsafeBuffer))
    let ids = unsafe Span(_unsafeElements: forward.ids[call])
    switch form {
    case .fused:
      try groups.group(ids, context: workload.context, vocabulary: workload.vocabulary)
      try optimizer.tokens.prepare(groups, using: kernels)
      try optimizer.tokens.step(outputGradient: outputGradient, groups: groups, using: kernels)
    case .backward:
      try unsafe layer.tokens.backward(
        UnsafeBufferPointer(forward.output.unsafeBuffer), ids: forward.ids[call],
        batch: workload.batch, context: workload.context, into: &gradient, using: kernels,
        workspace: &workspace)
      try optimizer.tokens.prepare(workspace.tokens, using: kernels)
      try optimizer.tokens.step(gradient, using: kernels)
    case .training:
      var span = unsafe MutableSpan(_unsafeElements: output.unsafeBuffer)
      try optimizer.forward(
        ids, batch: workload.batch, context: workload.context, into: &span, using: kernels)
      try optimizer.step(outputGradient: outputGradient, using: kernels)
    }
  }
}

final class StepBenchmarks {
  let store: FixtureStore
  private var fixtures: [(key: String, fixture: StepFixture)] = []

  init(store: FixtureStore) { self.store = store }

  func register(_ workload: Workload, threads: Int) {
    for rule in SteppedRule.all {
      for form in StepForm.allCases {
        for (name, kernels) in Kernels.choices(threads) {
          register(rule, name, form, workload, threads) { state, fixture in
            let batches = unsafe fixture.forward.ids.count
            var call = 0
            try state.measure { () throws(EmbedError) in
              try fixture.step(call, form, kernels)
              call += 1
              if call == batches { call = 0 }
            }
          }
        }
      }
      if rule.name == "sgd" || rule.name == "adamw-lazy" { registerLoop(rule, workload, threads) }
    }
  }

  private func registerLoop(_ rule: SteppedRule, _ workload: Workload, _ threads: Int) {
    register(rule, "c_loop", .fused, workload, threads) { state, fixture in
      let team = try self.store.team(threads)
      var groups: [CGroups] = []
      let batches = unsafe fixture.forward.ids
      for batch in unsafe batches.indices {
        unsafe groups.append(try CGroups(batches[batch], workload))
      }
      var call = 0
      func run() {
        groups[call].step(fixture, team, adam: rule.name != "sgd")
        call += 1
        if call == groups.count { call = 0 }
      }
      team.tune(run)
      defer { team.untune() }
      state.measure(run)
    }
  }

  private func register(
    _ rule: SteppedRule, _ kind: String, _ form: StepForm, _ workload: Workload, _ threads: Int,
    _ body: @escaping (borrowing BenchmarkState, StepFixture) throws -> Void
  ) {
    Benchmark.register(
      "step/\(rule.name)/\(kind)/f32/\(workload.name)/\(form.rawValue)/threads:\(threads)",
      unit: workload.outputBytes < 1 << 20 ? .microsecond : .millisecond
    ) { state in
      let fixture = try self.fixture(rule, workload)
      OpenBLAS.setThreads(threads)
      try body(state, fixture)
      state.setCounter("time_per_token", Double(workload.tokens), as: .secondsPer)
      state.setCounter("state_bytes", Double(fixture.optimizer.stateBytes))
      let gradient = fixture.gradient.capacity * (workload.dim + 1) * 4
      state.setCounter(
        "batch_bytes", Double(fixture.optimizer.scratchBytes + (form == .backward ? gradient : 0)))
    }
  }

  /// Keeps the last few, each of which has as much state as the table.
  private func fixture(_ rule: SteppedRule, _ workload: Workload) throws -> StepFixture {
    let key = "\(rule.name) \(workload.name)"
    if let found = fixtures.first(where: { $0.key == key }) { return found.fixture }
    if fixtures.count >= 9 { fixtures.removeFirst() }
    let made = try StepFixture(store.fixture(workload), rule.make())
    fixtures.append((key, made))
    return made
  }
}

/// A batch's groups for the C loop.
private struct CGroups {
  var rows: [Int32] = []
  var offsets: [Int32] = []
  var tokens: [Int32] = []

  init(_ ids: UnsafeBufferPointer<Int32>, _ workload: Workload) throws {
    var groups = try RowGroups()
    let span = unsafe Span(_unsafeElements: ids)
    try groups.group(span, context: workload.context, vocabulary: workload.vocabulary)
    for i in 0..<groups.count { rows.append(groups.rowIDs[i]) }
    for i in 0...groups.count { offsets.append(groups.offsets[i]) }
    for i in 0..<groups.tokenCount { tokens.append(groups.tokens[i]) }
  }

  func step(_ fixture: StepFixture, _ team: Team, adam: Bool) {
    unsafe rows.withUnsafeBufferPointer { rows in
      unsafe offsets.withUnsafeBufferPointer { offsets in
        unsafe tokens.withUnsafeBufferPointer { tokens in
          var work = unsafe crl_step(
            table: fixture.forward.tokens.unsafeBuffer.baseAddress,
            first: adam ? fixture.first.unsafeBuffer.baseAddress : nil,
            second: fixture.second.unsafeBuffer.baseAddress,
            gradient: fixture.forward.output.unsafeBuffer.baseAddress, rows: rows.baseAddress,
            offsets: offsets.baseAddress, tokens: tokens.baseAddress, count: rows.count,
            dim: fixture.forward.workload.dim, rate: 1e-7)
          unsafe team.stepRows(&work)
        }
      }
    }
  }
}
