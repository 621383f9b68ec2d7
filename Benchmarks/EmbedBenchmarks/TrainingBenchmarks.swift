// Whole steps of training a GPT: forward, backward, clipping and AdamW.
//
// `training/gpt/auto/f32/V256_B8_T256_D384_L6_H6/tied/threads:2`. Each step is on the same batch, so
// that the losses of another program's steps from the same parameters can be held to ours: the counter
// `loss` is the mean of the last step's batch before the step.
//
// `training/next/.../at:1000` reads one token after 1,000 others that a cache holds;
// `training/loss/.../C512` is a loss against a table and its gradients, by chunks of 512 rows.
//
// With `EMBEDBENCH_SAVE_MODEL=FILE` the parameters before the first step are written to a safetensors
// file, by GPT-2's names. `scripts/reference/time_pytorch_gpt.py` starts from them.

internal import BenchmarkHarness
internal import EmbedKernel
internal import EmbedTraining
internal import Foundation

/// A model and the batch that it is trained on.
struct TrainingWorkload: Hashable {
  var vocabulary: Int
  var batch: Int
  var context: Int
  var dim: Int
  var layers: Int
  var heads: Int
  var head: OutputHead

  var name: String {
    "V\(vocabulary)_B\(batch)_T\(context)_D\(dim)_L\(layers)_H\(heads)/\(head.rawValue)"
  }

  /// One where products of the blocks dominate, and one of bytes and of GPT-2's vocabulary each,
  /// where the last has most of its work in embeddings.
  static let all = [
    TrainingWorkload(
      vocabulary: 256, batch: 8, context: 256, dim: 384, layers: 6, heads: 6, head: .tied),
    TrainingWorkload(
      vocabulary: 256, batch: 8, context: 256, dim: 256, layers: 4, heads: 4, head: .untied),
    TrainingWorkload(
      vocabulary: 256, batch: 4, context: 1_024, dim: 384, layers: 6, heads: 6, head: .tied),
    TrainingWorkload(
      vocabulary: 50_257, batch: 8, context: 256, dim: 256, layers: 4, heads: 4, head: .untied),
  ]

  var configuration: GPTConfiguration {
    GPTConfiguration(
      vocabulary: vocabulary, context: context, dim: dim, heads: heads, layers: layers, head: head)
  }

  /// A rate that is the same at every step.
  var options: TrainingOptions {
    TrainingOptions(
      batch: batch, steps: 1_000_000, learningRate: 1e-4, finalLearningRate: 1e-4)
  }

  /// Ids that any program can compute: element i is (31 i² + 7,919 i) mod V.
  func ids(from first: Int) -> [Int32] {
    (first..<first + batch * context).map { Int32((31 * $0 * $0 + 7_919 * $0) % vocabulary) }
  }
}

/// A training run. Targets are the ids one later.
final class TrainingFixture {
  let trainer: Trainer
  private let ids: [Int32]
  private let targets: [Int32]

  init(_ workload: TrainingWorkload, threads: Int) throws {
    let model = try GPT(workload.configuration, seed: 1)
    if let path = ProcessInfo.processInfo.environment["EMBEDBENCH_SAVE_MODEL"] {
      try model.save(to: path)
    }
    trainer = try Trainer(model, workload.options, threads: threads)
    ids = workload.ids(from: 0)
    targets = workload.ids(from: 1)
  }

  func step() throws -> StepReport {
    // Spans reach no further than a local array.
    let (ids, targets) = (ids, targets)
    return try trainer.step(ids: ids.span, targets: targets.span)
  }
}

final class TrainingBenchmarks {
  /// One at a time: the largest has a gigabyte.
  private var fixture: (workload: TrainingWorkload, threads: Int, fixture: TrainingFixture)?

  func register(_ workload: TrainingWorkload, threads: Int) {
    Benchmark.register(
      "training/gpt/auto/f32/\(workload.name)/threads:\(threads)", unit: .millisecond
    ) { state in
      let fixture = try self.fixture(workload, threads)
      OpenBLAS.setThreads(threads)
      var report: StepReport?
      try state.measure { report = try fixture.step() }
      state.setCounter("loss", report?.loss ?? .nan)
      state.setCounter(
        "tokens_per_second", Double(workload.batch * workload.context), as: .ratePerIteration)
      state.setCounter("memory_bytes", Double(fixture.trainer.memoryBytes))
    }
  }

  /// A token after others.
  func registerNext(at tokens: Int, threads: Int) {
    let sizes = GPTConfiguration(
      vocabulary: 256, context: 1_024, dim: 384, heads: 6, layers: 6, positions: .rope)
    Benchmark.register(
      "training/next/auto/f32/V256_D384_L6_H6/at:\(tokens)/threads:\(threads)", unit: .microsecond
    ) { state in
      let model = try GPT(sizes, seed: 1)
      let cache = try KeyValueCache(for: model, threads: threads)
      var logits = [Float](repeating: 0, count: 256)
      let ids = (0..<tokens).map { Int32($0 % 256) }, next: [Int32] = [7]
      var span = logits.mutableSpan
      try model.nextLogits(ids.span, after: cache, into: &span)
      try state.measure {
        var span = logits.mutableSpan
        try model.nextLogits(next.span, after: cache, into: &span)
        cache.removeLast()
      }
      state.setCounter("memory_bytes", Double(cache.memoryBytes))
    }
  }

  /// The loss of a table of outputs, and its gradients.
  func registerLoss(vocabulary: Int, rows: Int, dim: Int, chunk: Int, threads: Int) {
    Benchmark.register(
      "training/loss/auto/f32/V\(vocabulary)_N\(rows)_D\(dim)_C\(chunk)/threads:\(threads)",
      unit: .millisecond
    ) { state in
      let loss = try ChunkedCrossEntropy(
        vocabulary: vocabulary, dim: dim, rows: rows, chunk: chunk, threads: threads)
      let table = try EmbeddingTable<Float>(
        rows: vocabulary, dim: dim, .normal(sigma: 0.02), seed: 1)
      let hidden = try EmbeddingTable<Float>(rows: rows, dim: dim, .normal(sigma: 1), seed: 2)
      let targets = (0..<rows).map { Int32(31 * $0 % vocabulary) }
      var ofHidden = [Float](repeating: 0, count: rows * dim)
      var ofTable = [Float](repeating: 0, count: vocabulary * dim)
      try state.measure {
        var first = ofHidden.mutableSpan
        var second = ofTable.mutableSpan
        _ = try loss.gradients(
          hidden.span, targets: targets.span, table: table.span, hiddenGradient: &first,
          tableGradient: &second, .overwrite)
      }
      state.setCounter("memory_bytes", Double(loss.memoryBytes))
    }
  }

  private func fixture(_ workload: TrainingWorkload, _ threads: Int) throws -> TrainingFixture {
    if let fixture, fixture.workload == workload, fixture.threads == threads {
      return fixture.fixture
    }
    // First, so that there are never two.
    fixture = nil
    let made = try TrainingFixture(workload, threads: threads)
    fixture = (workload, threads, made)
    return made
  }
}
