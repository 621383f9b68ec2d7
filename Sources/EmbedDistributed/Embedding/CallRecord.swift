// What ranks tell each other before each call's data move: what they are about to do, whether they can, and how
// many rows they will send or ask for. One message to each rank, so that a call costs no more than the
// latency of one exchange beside its data.

internal import EmbedKernel

/// What must be the same on all ranks for a call.
struct CallFacts: Equatable, BitwiseCopyable {
  enum Operation: UInt64 { case forward, backward }

  var operation: UInt64
  var context: Int
  var gradientScale: Float
  var frequencyScaling: Int
  var summation: Int
  var order: Int
  /// The steps taken so far, and a digest of what their gradients were multiplied by.
  var steps: Int
  var scales: UInt64

  init(_ operation: Operation, context: Int, _ history: StepHistory) {
    self.operation = operation.rawValue
    self.context = context
    gradientScale = 1
    (frequencyScaling, summation, order) = (0, 0, 0)
    (steps, scales) = (history.steps, history.scales)
  }

  /// By name, for whoever is to find where ranks differ.
  var named: [(name: String, value: String)] {
    [
      ("operation", Operation(rawValue: operation).map { "\($0)" } ?? "\(operation)"),
      ("context", "\(context)"), ("gradient scale", "\(gradientScale)"),
      ("frequency scaling", "\(frequencyScaling)"), ("summation", "\(summation)"),
      ("order of sums", "\(order)"), ("steps taken", "\(steps)"),
      ("scales of steps", String(scales, radix: 16)),
    ]
  }
}

/// The steps that a layer has taken, by which a rank is known that stepped otherwise.
struct StepHistory {
  private(set) var steps = 0
  private(set) var scales: UInt64 = 0xCBF2_9CE4_8422_2325

  /// Counts a step of a gradient that is multiplied by `scale`.
  mutating func add(scale: Float) {
    steps += 1
    scales = (scales ^ UInt64(scale.bitPattern)) &* 0x0000_0100_0000_01B3
  }

  /// Goes on after so many steps of another run.
  mutating func restart(at steps: Int) {
    self = StepHistory()
    self.steps = steps
  }
}

/// One rank's word to another.
struct CallRecord: BitwiseCopyable {
  var facts: CallFacts
  var tokens: Int
  var positions: Int
}

/// How many rows each rank sends to this one, or asks of it.
struct PeerCounts {
  var tokens: [Int]
  var positions: [Int]
}

extension Communicator {
  /// Meets all ranks for a call.
  ///
  /// - Parameters:
  ///   - fault: What keeps this rank from taking part; then all throw.
  ///   - tokens: How many rows go to a rank, or are asked of it.
  /// - Throws: `disagreement` and `refused` on all ranks alike.
  func meet(
    _ facts: CallFacts, _ fault: DistributedError?, _ operation: String,
    tokens: (Int) -> Int, positions: (Int) -> Int
  ) throws(DistributedError) -> PeerCounts {
    let records = (0..<size).map { peer in
      CallRecord(
        facts: facts, tokens: fault == nil ? tokens(peer) : 0,
        positions: fault == nil ? positions(peer) : 0)
    }
    let met = try meet(records, fault, operation)
    if met.contains(where: { $0.facts != met[0].facts }) { try agree(facts.named) }
    return PeerCounts(tokens: met.map(\.tokens), positions: met.map(\.positions))
  }
}
