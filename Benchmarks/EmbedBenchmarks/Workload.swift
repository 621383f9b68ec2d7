// What varies between benchmarks, and how it is named.
// V vocabulary, B batch, T context, D dim; N = B*T tokens.
//
// Names: `forward/<backend>/f32/V50257_B8_T1024_D768/threads:2`. Without a further part, ids are
// uniform and calls rotate over several id batches; `/zipf`, `/warm` and `/cold` say otherwise.

internal import EmbedKernel

/// How the ids of a batch are drawn.
enum Distribution {
  /// Every id alike: nearly every row comes from memory.
  case uniform

  /// Rank r with probability in proportion to `r^-1.1`, the id being the rank, as in vocabularies
  /// that number frequent tokens first: many rows come from cache.
  case zipf
}

/// How many id batches a benchmark rotates over, one a call.
enum Rotation {
  /// Eight: at large shapes together more rows than the caches hold, at the seed's shape 256 KiB.
  case several

  /// One: what the caches can hold of its rows and output, they do hold.
  case warm

  /// As many as touch four times a 32 MiB cache: rows come from memory at any shape.
  case cold
}

/// One shape of work with its ids.
struct Workload: Hashable {
  var vocabulary: Int
  var batch: Int
  var context: Int
  var dim: Int
  var distribution = Distribution.uniform
  var rotation = Rotation.several

  init(
    _ vocabulary: Int, _ batch: Int, _ context: Int, _ dim: Int,
    _ distribution: Distribution = .uniform, _ rotation: Rotation = .several
  ) {
    self.vocabulary = vocabulary
    self.batch = batch
    self.context = context
    self.dim = dim
    self.distribution = distribution
    self.rotation = rotation
  }

  var name: String {
    var name = "V\(vocabulary)_B\(batch)_T\(context)_D\(dim)"
    if distribution == .zipf { name += "/zipf" }
    switch rotation {
    case .several: break
    case .warm: name += "/warm"
    case .cold: name += "/cold"
    }
    return name
  }

  var tokens: Int { batch * context }
  var outputCount: Int { tokens * dim }
  var outputBytes: Int { outputCount * 4 }

  /// The traffic no implementation can avoid: a token row read and an output row written for each
  /// token, and the position rows read once. Ids are left out: 4 bytes beside 8 * D.
  var compulsoryBytes: Int { 2 * outputBytes + context * dim * 4 }

  /// Id batches to rotate over; fewer than asked for where they alone would hold many megabytes.
  var idBatches: Int {
    switch rotation {
    case .warm: 1
    case .several: max(1, min(8, (8 << 20) / tokens))
    case .cold: max(8, min(1 << 14, (128 << 20) / outputBytes))
    }
  }
}

extension Workload {
  static let seed = Workload(50_257, 8, 4, 256)

  /// The seed's shape over a table that is filled at once, so that a process takes a moment only:
  /// what comparisons of many short processes run.
  static let short = Workload(1_000, 8, 4, 256)

  static let gpt2 = Workload(50_257, 8, 1_024, 768)

  /// The shapes that figures are quoted for.
  static let headline: [Workload] =
    [
      seed, Workload(50_257, 8, 4, 256, .uniform, .warm),
      Workload(50_257, 8, 4, 256, .uniform, .cold),
      gpt2, Workload(50_257, 4, 2_048, 1_024), Workload(128_256, 1, 4_096, 2_048),
    ]
    + [
      Workload(50_257, 8, 4, 256, .zipf), Workload(50_257, 8, 1_024, 768, .zipf),
      Workload(50_257, 4, 2_048, 1_024, .zipf), Workload(128_256, 1, 4_096, 2_048, .zipf),
    ]

  /// GPT-2's shape with one size changed at a time.
  static let sweeps: [Workload] =
    [32, 64, 128, 256, 384, 385, 512, 1_024, 1_536, 2_048].map { Workload(50_257, 8, 1_024, $0) }
    + [1, 2, 4, 16, 32, 64].map { Workload(50_257, $0, 1_024, 768) }
    + [1_000, 10_000, 128_256, 256_000].map { Workload($0, 8, 1_024, 768) }
    + [8, 16, 32, 64, 128, 256, 512].map { Workload(50_257, 8, $0, 256) } + [short]

  /// From ten thousand to ten million tokens at one dim. The last holds 10 GB of output.
  static let growth: [Workload] = [10, 100, 1_000, 10_000].map { Workload(50_257, $0, 1_000, 256) }

  static let all = headline + sweeps + growth
}

extension Kernels {
  /// The backends on so many threads, `auto`, and `default`, which chooses its threads, too.
  static func choices(_ threads: Int) -> [(name: String, kernels: Kernels)] {
    let all = Backend.allCases.map { ($0.rawValue, Kernels(backend: $0, threads: threads)) }
    let auto = ("auto", Kernels(threads: threads))
    return all + (threads > 1 ? [auto, ("default", .auto)] : [auto])
  }
}
