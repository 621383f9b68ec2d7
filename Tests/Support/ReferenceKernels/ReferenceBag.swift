// Bags by plain loops, in the documented order of additions.

/// What becomes of a bag's rows.
public enum ReferencePool: Sendable {
  case sum
  case mean
  case max
}

/// What an id reads.
public enum ReferenceID: Sendable, Equatable {
  case row(Int)
  case zeros
  case leftOut
}

extension Reference {
  /// output[b, :] = the pool of weights[j] * table[ids[j], :] over the ids j of bag b
  ///
  /// - Parameters:
  ///   - lengths: How many ids each bag has.
  ///   - weights: An id's; nil: none.
  /// - Returns: The output [bags, dim], and of a maximum the index of each column's id, or -1.
  public static func bag(
    _ ids: [ReferenceID], lengths: [Int], weights: [Float]?, table: [Float], dim: Int,
    pool: ReferencePool
  ) -> (output: [Float], winners: [Int32]) {
    var output = [Float](repeating: 0, count: lengths.count * dim)
    var winners = [Int32](repeating: -1, count: lengths.count * dim)
    var start = 0
    for (bag, length) in lengths.enumerated() {
      let members = (start..<start + length).filter { ids[$0] != .leftOut }
      for i in 0..<dim {
        let at = bag * dim + i
        for j in members {
          var value: Float = 0
          if case .row(let row) = ids[j] { value = table[row * dim + i] }
          switch pool {
          case .sum, .mean:
            guard ids[j] != .zeros else { continue }
            output[at] += weights.map { value * $0[j] } ?? value
          case .max:
            guard winners[at] < 0 || value > output[at] else { continue }
            (output[at], winners[at]) = (value, Int32(j))
          }
        }
        if pool == .mean, !members.isEmpty { output[at] /= Float(members.count) }
      }
      start += length
    }
    return (output, winners)
  }

  /// The gradient of the table, [rows, dim]: of each row the sum, in an order, of its ids' factors times
  /// the output gradients of their bags.
  ///
  /// - Parameters:
  ///   - winners: Of a maximum; nil for other pools.
  ///   - scale: Multiplies the sum of n ids.
  public static func bagBackward(
    _ ids: [ReferenceID], lengths: [Int], weights: [Float]?, winners: [Int32]?,
    outputGradient: [Float], rows: Int, dim: Int, pool: ReferencePool, order: ReferenceOrder,
    scale: (Int) -> Float
  ) -> [Float] {
    var terms = [Float](repeating: 0, count: ids.count * dim)
    var rowOfID = [Int?](repeating: nil, count: ids.count)
    var start = 0
    for (bag, length) in lengths.enumerated() {
      let members = (start..<start + length).filter { ids[$0] != .leftOut }.count
      for j in start..<start + length {
        guard case .row(let row) = ids[j] else { continue }
        if let winners, !winners[bag * dim..<(bag + 1) * dim].contains(Int32(j)) { continue }
        rowOfID[j] = row
        for i in 0..<dim {
          let gradient = outputGradient[bag * dim + i]
          switch pool {
          case .sum: terms[j * dim + i] = weights.map { gradient * $0[j] } ?? gradient
          case .mean: terms[j * dim + i] = gradient * (1 / Float(members))
          case .max: terms[j * dim + i] = winners?[bag * dim + i] == Int32(j) ? gradient : 0
          }
        }
      }
      start += length
    }
    return backward(
      terms, rowOfToken: rowOfID, onto: [Float](repeating: 0, count: rows * dim), dim: dim,
      accumulates: false, order: order, factor: scale)
  }

  /// The gradient of weights: inner products of the bags' output gradients and rows, element i in lane i
  /// mod 32, the lanes then added as a tree of halves.
  public static func bagWeightGradient(
    _ ids: [ReferenceID], lengths: [Int], outputGradient: [Float], table: [Float], dim: Int
  ) -> [Float] {
    let bagOfID = lengths.enumerated().flatMap { bag, length in
      [Int](repeating: bag, count: length)
    }
    return ids.enumerated().map { j, id in
      guard case .row(let row) = id else { return 0 }
      var lanes = [Float](repeating: 0, count: 32)
      for i in 0..<dim {
        lanes[i % 32] += table[row * dim + i] * outputGradient[bagOfID[j] * dim + i]
      }
      while lanes.count > 1 {
        let half = lanes.count / 2
        lanes = (0..<half).map { lanes[$0] + lanes[$0 + half] }
      }
      return lanes[0]
    }
  }
}
