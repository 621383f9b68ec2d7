// What messages cost in this run, and what of a layer's time they are.

import EmbedDistributed
import EmbedKernel

struct Timing {
  let communicator: Communicator

  init(_ communicator: Communicator) { self.communicator = communicator }

  /// The median time of `count` repetitions, in seconds.
  private func median(_ count: Int, _ body: () throws -> Void) rethrows -> Double {
    var times: [Double] = []
    for _ in 0..<count {
      let start = ContinuousClock.now
      try body()
      let time = (ContinuousClock.now - start).components
      times.append(Double(time.seconds) + Double(time.attoseconds) * 1e-18)
    }
    return times.sorted()[count / 2]
  }

  func print() throws {
    let bytes = 8 << 20
    let latency = try median(200) { try communicator.barrier() }
    // Two exchanges: of the numbers of bytes, and of the bytes.
    let long = try median(9) {
      _ = try communicator.gather(bytes: [UInt8](repeating: 1, count: bytes))
    }
    let bandwidth = Double(bytes * (communicator.size - 1)) / (long - 2 * latency)
    say("library    \(communicator.libraryName ?? "threads"), \(communicator.size) ranks")
    let (short, far) = (try pingPong(1), try pingPong(bytes))
    say(
      "ping-pong  \(number(short * 1e6)) us for a byte, \(number(Double(bytes) / far / 1e9)) GB/s for "
        + "\(bytes >> 20) MiB, one way")
    try overlap()
    say("exchange   \(number(latency * 1e6)) us, \(number(bandwidth / 1e9)) GB/s sent by each rank")
    for (vocabulary, dim, batch, context) in [(50_257, 768, 8, 256), (1_000_000, 64, 64, 64)] {
      for order in GradientOrder.allCases {
        try time(vocabulary, dim, batch, context, order)
      }
    }
  }

  /// The time of a message from rank 0 to rank 1: half of there and back.
  private func pingPong(_ bytes: Int) throws -> Double {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    defer { unsafe memory.deallocate() }
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 1, count: bytes)
    let pieces = Exchange(ranks: communicator.size)
    return try median(bytes > 1 << 16 ? 25 : 500) {
      for sender in [0, 1] {
        for peer in 0..<communicator.size {
          let sends = communicator.rank == sender && peer == 1 - sender
          let receives = communicator.rank == 1 - sender && peer == sender
          unsafe pieces.send(memory, bytes: sends ? bytes : 0, to: peer)
          unsafe pieces.receive(memory, bytes: receives ? bytes : 0, from: peer)
        }
        try communicator.run(pieces, "ping-pong")
      }
    } / 2
  }

  /// How much of the time of sums is hidden behind their exchange, or the other way round.
  private func overlap() throws {
    let (ranks, count) = (communicator.size, 1 << 24)
    let bounds = (0...ranks).map { $0 * count / ranks }
    let own = bounds[communicator.rank + 1] - bounds[communicator.rank]
    let sums = try OrderedSums(leaves: ranks, threads: 1, over: communicator, "overlap")
    let vector = try AlignedBuffer<Float>(count: count)
    let base = unsafe vector.unsafeBuffer.baseAddress.unsafelyUnwrapped
    let other = try AlignedBuffer<Float>(count: 2 * own)
    let room = unsafe other.unsafeBuffer.baseAddress.unsafelyUnwrapped
    let pieces = Exchange(ranks: ranks)
    for peer in 0..<ranks {
      unsafe pieces.send(
        base + bounds[peer], bytes: 4 * (bounds[peer + 1] - bounds[peer]), to: peer)
    }
    let arrived = try AlignedBuffer<Float>(count: ranks * own)
    for peer in 0..<ranks {
      unsafe pieces.receive(
        arrived.unsafeBuffer.baseAddress.map { unsafe $0 + peer * own }, bytes: 4 * own, from: peer)
    }
    let sent = try median(9) { try communicator.run(pieces, "overlap") }
    let added = median(9) {
      for _ in 1..<ranks { unsafe sums.add(UnsafePointer(room), to: room + own, own) }
    }
    let both = try median(9) { _ = try unsafe sums.run([base], bounds: bounds) }
    let hidden = max(0, sent + added - both) / min(sent, added)
    say(
      "overlap    \(count >> 20) Mi floats: exchange \(number(sent * 1e3)) ms, sums \(number(added * 1e3)) ms, "
        + "both \(number(both * 1e3)) ms: \(number(100 * min(1, hidden)))% of the shorter hidden")
  }

  private func time(
    _ vocabulary: Int, _ dim: Int, _ batch: Int, _ context: Int, _ order: GradientOrder
  ) throws {
    let layer = try ShardedEmbedding(
      vocabulary: vocabulary, dim: dim, sharding: .hashedRows(),
      initialization: .uniform(low: -1, high: 1),
      over: communicator)
    let optimizer = try ShardedOptimizer(.adamW(learningRate: .constant(1e-3)), for: layer)
    let words = Philox4x32(seed: UInt64(communicator.rank))
    // Zipf's law, nearly: the rank of a word falls off as the inverse of a uniform number.
    let ids = (0..<batch * context).map { token -> Int32 in
      let share = Double(words.block(UInt64(token)).x) / 4_294_967_296
      let id = exponential(share, vocabulary)
      return Int32(clamping: min(vocabulary - 1, id))
    }
    var output = try layer.makeOutput(batch: batch, context: context)
    var gradient = try layer.makeGradient()
    let start = communicator.bytesSent
    try layer.forward(ids, batch: batch, context: context, into: &output)
    let middle = communicator.bytesSent
    try layer.backward(
      output, ids: ids, batch: batch, context: context, into: &gradient, order: order)
    let end = communicator.bytesSent
    let forward = try median(5) {
      try layer.forward(ids, batch: batch, context: context, into: &output)
    }
    let backward = try median(5) {
      try layer.backward(
        output, ids: ids, batch: batch, context: context, into: &gradient, order: order)
    }
    let different = Set(ids).count
    let most = try [different, middle - start, end - middle].map { own in
      try communicator.gather("\(own)").compactMap { Int($0) }.max() ?? 0
    }
    let step = try median(3) { try optimizer.step(gradient, scale: 0) }
    say(
      "\(vocabulary)x\(dim), \(batch)x\(context) a rank, sums by \(order): "
        + "\(most[0]) different rows at most; "
        + "forward \(number(forward * 1e3)) ms, \(most[1]) bytes at most; "
        + "backward \(number(backward * 1e3)) ms, \(most[2]) bytes at most; "
        + "step \(number(step * 1e3)) ms")
  }

  /// `vocabulary` to the power of `share`, by repeated square roots.
  private func exponential(_ share: Double, _ vocabulary: Int) -> Int {
    var (result, root, rest) = (1.0, Double(vocabulary), share)
    for _ in 0..<32 {
      root = root.squareRoot()
      rest *= 2
      if rest >= 1 {
        result *= root
        rest -= 1
      }
    }
    return Int(exactly: (result - 1).rounded(.towardZero)) ?? 0
  }

  private func number(_ value: Double) -> String {
    "\((value * 100).rounded() / 100)"
  }

  private func say(_ text: String) {
    if communicator.rank == 0 { Swift.print(text) }
  }
}
