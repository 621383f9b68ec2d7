// Backward by plain loops, in the documented order of additions, so that fast kernels can be held to
// its bits; and in Double, to hold the order itself to the sum.

/// An order of additions.
public enum ReferenceOrder: Sendable {
  /// Runs of 64 cut into leaves of so many rows, left to right; then adjacent sums as a tree.
  case tree(leaf: Int)
  /// Runs of 64 with the rounding errors summed beside.
  case compensated
}

extension Reference {
  /// rows[r] (+)= factor(n) * sum of gradient[t, :] over the n tokens t with rowOfToken[t] == r
  ///
  /// - Parameters:
  ///   - gradient: Shape `[rowOfToken.count, dim]`.
  ///   - rowOfToken: The table row of each token; nil for none.
  ///   - onto: What the table's gradient holds, shape `[rows, dim]`; rows without tokens keep it.
  ///   - accumulates: Whether rows with tokens are added to what they hold.
  ///   - factor: Multiplies the sum of n rows.
  public static func backward(
    _ gradient: [Float], rowOfToken: [Int?], onto: [Float], dim: Int, accumulates: Bool,
    order: ReferenceOrder, factor: (Int) -> Float
  ) -> [Float] {
    var result = onto
    for (row, tokens) in occurrences(rowOfToken) {
      for i in 0..<dim {
        let total = factor(tokens.count) * sum(tokens.map { gradient[$0 * dim + i] }, order)
        let at = row * dim + i
        result[at] = accumulates ? result[at] + total : total
      }
    }
    return result
  }

  /// The tokens of each row, in order.
  public static func occurrences(_ rowOfToken: [Int?]) -> [Int: [Int]] {
    var tokens: [Int: [Int]] = [:]
    for (token, row) in rowOfToken.enumerated() {
      if let row { tokens[row, default: []].append(token) }
    }
    return tokens
  }

  /// The sum of some floats in an order.
  public static func sum(_ values: [Float], _ order: ReferenceOrder) -> Float {
    let runs = stride(from: 0, to: values.count, by: 64).map {
      Array(values[$0..<min($0 + 64, values.count)])
    }
    switch order {
    case .tree(let leaf):
      return tree(
        runs.map { run in
          tree(
            stride(from: 0, to: run.count, by: leaf).map {
              run[$0..<min($0 + leaf, run.count)].dropFirst().reduce(run[$0], +)
            })
        })
    case .compensated:
      let parts = runs.map { compensated($0.map { ($0, 0) }) }
      let (sum, correction) = parts.count == 1 ? parts[0] : compensated(parts)
      return sum + correction
    }
  }

  /// Adds up adjacent pairs until one sum is left; an odd last one waits.
  private static func tree(_ sums: [Float]) -> Float {
    var sums = sums
    while sums.count > 1 {
      sums = stride(from: 0, to: sums.count, by: 2).map {
        $0 + 1 < sums.count ? sums[$0] + sums[$0 + 1] : sums[$0]
      }
    }
    return sums[0]
  }

  /// Left to right, with the error of each addition by Knuth's TwoSum.
  private static func compensated(_ parts: [(Float, Float)]) -> (Float, Float) {
    var (sum, correction) = (Float(0), Float(0))
    for (value, own) in parts {
      let next = sum + value
      let added = next - sum
      correction += (sum - (next - added)) + (value - added)
      correction += own
      sum = next
    }
    return (sum, correction)
  }
}
