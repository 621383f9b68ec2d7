// Training an embedding as PyTorch did in double precision; scripts/reference/make_optimizer_fixtures.py
// says what each field means.
//
// 12 steps in fp32 round a parameter 12 times by at most u = 2^-24 of itself, and each update, no
// larger than a row in these cases, by some 10 u: below 12 * 11 u = 8e-6 of the row's norm if all
// errors pointed one way. They do not, and 2e-6 holds.

import EmbedKernel
import Foundation
import Testing

@Suite struct OptimizerFixtureTests {
  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    struct Numbers: Decodable {
      var weight_decay: Double?
      var momentum: Double?
      var nesterov: Bool?
      var lr_decay: Double?
      var initial_accumulator_value: Double?
      var eps: Double?
      var betas: [Double]?
    }

    let name: String
    let optimizer: String
    let rate: [Double]
    let sparse: Bool
    let source: String
    let numbers: Numbers
    let expected: String
    let paddingID: Int?
    var testDescription: String { name }

    /// The schedule that gave `rate`.
    private var schedule: LearningRate {
      rate.allSatisfy { $0 == rate[0] }
        ? .constant(rate[0]) : .cosine(peak: 0.05, final: 0.005, warmup: 3, total: 12)
    }

    func rule(_ untouched: UntouchedRows) throws -> UpdateRule {
      let n = numbers
      let decay = n.weight_decay ?? 0
      let schedule = schedule
      for (step, rate) in rate.enumerated() {
        #expect(abs(schedule.rate(at: step + 1) - rate) < 1e-15)
      }
      switch optimizer {
      case "sgd":
        return try .sgd(learningRate: schedule, weightDecay: decay, untouched: untouched)
      case "momentum":
        return try .momentum(
          learningRate: schedule, beta: #require(n.momentum),
          direction: n.nesterov == true ? .nesterov : .heavyBall, weightDecay: decay,
          untouched: untouched)
      case "adagrad":
        return try .adagrad(
          learningRate: schedule, rateDecay: n.lr_decay ?? 0,
          initialSum: n.initial_accumulator_value ?? 0, epsilon: #require(n.eps),
          weightDecay: decay, untouched: untouched)
      case "adam", "sparse-adam":
        let betas = try #require(n.betas)
        return try .adam(
          learningRate: schedule, beta1: betas[0], beta2: betas[1], epsilon: #require(n.eps),
          epsilonForm: optimizer == "adam" ? .corrected : .uncorrected, weightDecay: decay,
          untouched: untouched)
      case "adamw":
        let betas = try #require(n.betas)
        return try .adamW(
          learningRate: schedule, beta1: betas[0], beta2: betas[1], epsilon: #require(n.eps),
          weightDecay: decay, untouched: untouched)
      default:
        throw EmbedError.unsupported(
          argument: "optimizer", value: optimizer, expected: "one of the fixtures'")
      }
    }
  }

  static let folder = Fixtures.folder.appending(path: "optimizers")

  static func path(_ name: String) -> String { folder.appending(path: name).path }

  static func cases() throws -> [Case] {
    struct File: Decodable { let cases: [Case] }
    let data = try Data(contentsOf: folder.appending(path: "cases.json"))
    return try JSONDecoder().decode(File.self, from: data).cases
  }

  @Test(arguments: try cases())
  func stepsAgreeWithPyTorch(_ c: Case) throws {
    let start = try NumPyArray<Float>(contentsOf: Self.path("table.npy"))
    let ids = try NumPyArray<Int32>(contentsOf: Self.path("ids.npy"))
    let outputs = try NumPyArray<Float>(contentsOf: Self.path("output-gradients.npy"))
    let dense = try NumPyArray<Float>(contentsOf: Self.path("dense-gradients.npy"))
    let file = try NumPyArray<Double>(contentsOf: Self.path(c.expected))
    let expected = (0..<file.count).map { file.span[$0] }
    let (rows, dim, tokens) = (start.shape[0], start.shape[1], ids.shape[1])
    let kinds: [UntouchedRows] =
      c.sparse ? [.left] : c.optimizer == "adamw" ? [.stepped, .caughtUp] : [.stepped]
    for untouched in kinds {
      for fused in [false, true] {
        let table = try EmbeddingTable<Float>(rows: rows, dim: dim, copying: start.span)
        // A padding id has no gradient; decay and moments would still reach its row as any other's.
        let optimizer = try TableOptimizer(c.rule(untouched), for: table)
        var groups = try RowGroups()
        var gradient = try RowSparseGradient(rows: rows, dim: dim)
        var workspace = try BackwardWorkspace()
        for step in 0..<c.rate.count {
          if c.source == "dense" {
            try optimizer.step(
              dense: dense.span.extracting(step * rows * dim..<(step + 1) * rows * dim))
            continue
          }
          let ids = ids.span.extracting(step * tokens..<(step + 1) * tokens)
          let output = outputs.span.extracting(step * tokens * dim..<(step + 1) * tokens * dim)
          try groups.group(ids, context: tokens, vocabulary: rows, paddingID: c.paddingID)
          try optimizer.prepare(groups)
          if fused {
            try optimizer.step(outputGradient: output, groups: groups)
          } else {
            try Kernels.auto.backward(
              output, ids: ids,
              shape: EmbeddingShape(vocabulary: rows, batch: 1, context: tokens, dim: dim),
              options: BackwardOptions(paddingID: c.paddingID), tokens: .rowSparse(&gradient),
              positions: .none, workspace: &workspace)
            try optimizer.step(gradient)
          }
        }
        try optimizer.synchronise()
        let (distance, row) = greatestDistance(elements(table), expected, dim: dim)
        #expect(distance < 2e-6, "\(c.name), \(untouched.rawValue), fused \(fused), row \(row)")
      }
    }
  }
}
