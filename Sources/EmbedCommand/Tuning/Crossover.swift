// From times to a choice: the limit, or the way, that takes the least time over all that was measured.
// What is built in stays unless something else is clearly faster, so that noise changes nothing.

internal import EmbedKernel

internal import CSystem

/// A choice and what it gains.
package struct Choice<Value: Equatable>: Equatable {
  package var value: Value
  /// By how much the time of the built-in value is longer, on average over what was measured: 0 where
  /// that one stays.
  package var gain: Double

  package init(value: Value, gain: Double) {
    self.value = value
    self.gain = gain
  }
}

package enum Crossover {
  /// What a change must gain at least.
  package static let leastGain = 0.03

  /// The limit from which the second way is taken.
  ///
  /// - Parameters:
  ///   - sizes: What was measured at, in rising order.
  ///   - contests: Of two ways, a contest a size.
  ///   - builtIn: The limit that stays unless another is clearly better.
  package static func limit(
    _ sizes: [Int], _ contests: [Contest], builtIn: Int
  ) -> Choice<Int> {
    let candidates = sizes + [Tuning.never]
    return best([builtIn] + candidates) { limit in
      zip(sizes, contests).map { size, contest in contest.seconds[size < limit ? 0 : 1] }
    }
  }

  /// The way that is fastest over some contests; the first is built in.
  package static func way<Value>(_ ways: [Value], _ contests: [Contest]) -> Choice<Value> {
    let best = best(Array(ways.indices)) { way in contests.map { $0.seconds[way] } }
    return Choice(value: ways[best.value], gain: best.gain)
  }

  /// Whether the second of two ways is surely the faster: in so many rounds of all contests that equal ways
  /// would come to it less than once in a hundred tries, and in none of the contests slower.
  package static func isSure(_ contests: [Contest]) -> Bool {
    let ratios = contests.flatMap(ratios)
    return losesNowhere(contests) && tail(ratios.count { $0 > 1 }, of: ratios.count) < 0.01
  }

  /// Whether the second of two ways is slower in none of the contests, by its median round.
  package static func losesNowhere(_ contests: [Contest]) -> Bool {
    contests.allSatisfy { contest in
      let sorted = ratios(contest).sorted()
      return sorted[sorted.count / 2] >= 1 - tie
    }
  }

  /// The first way's time over the second's, round by round.
  private static func ratios(_ contest: Contest) -> [Double] {
    zip(contest.rounds[0], contest.rounds[1]).map { $0 / $1 }
  }

  /// The probability of `wins` heads or more of so many coins.
  private static func tail(_ wins: Int, of count: Int) -> Double {
    var (term, sum) = (pow(0.5, Double(count)), 0.0)
    for heads in stride(from: count, through: wins, by: -1) {
      sum += term
      term *= Double(heads) / Double(count - heads + 1)
    }
    return sum
  }

  /// By how much a median round may be slower and count as equal.
  private static let tie = 0.01

  /// The candidate of the smallest geometric mean; the first is built in.
  private static func best(_ candidates: [Int], _ times: (Int) -> [Double]) -> Choice<Int> {
    let builtIn = times(candidates[0])
    var best = Choice(value: candidates[0], gain: 0)
    for candidate in candidates.dropFirst() {
      var ratio = 1.0
      for (ours, theirs) in zip(builtIn, times(candidate)) { ratio *= ours / theirs }
      let gain = pow(ratio, 1 / Double(builtIn.count)) - 1
      if gain >= leastGain, gain > best.gain { best = Choice(value: candidate, gain: gain) }
    }
    return best
  }
}
