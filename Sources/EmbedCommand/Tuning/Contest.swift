// Ways of doing the same, timed in turns: what else the machine does falls on all of them alike.

/// The time that each of a few ways takes.
package struct Contest {
  /// Seconds a call of each way: the lower quartile over rounds, as what disturbs a call makes it longer.
  package let seconds: [Double]

  /// Seconds of each way by round: those of one round were measured next to each other.
  package let rounds: [[Double]]

  /// Times already known.
  package init(seconds: [Double]) {
    self.seconds = seconds
    rounds = seconds.map { [$0] }
  }

  /// Times of each way by round, already known.
  package init(rounds: [[Double]]) {
    self.rounds = rounds
    seconds = rounds.map { $0.sorted()[$0.count / 4] }
  }

  /// Runs `call` for each way in turn, for some `budget` seconds in all and five rounds at least.
  ///
  /// - Parameters:
  ///   - call: Does the work once, in the way of that number.
  ///   - afterTurn: Called, untimed, when a way has had its turn.
  init(
    ways: Int, budget: Double, _ call: (Int) throws -> Void, afterTurn: (Int) -> Void
  ) throws {
    func time(_ calls: Int, _ way: Int) throws -> Double {
      max(try EmbedCommand.seconds { for _ in 0..<calls { try call(way) } }, 1e-9)
    }
    // A turn is long enough for the clock, and for threads to wake in; its first call, which may
    // find them asleep, is not counted.
    let turn = min(0.002, budget / Double(10 * ways))
    var calls: [Int] = []
    for way in 0..<ways {
      _ = try time(1, way)
      calls.append(max(1, min(100_000, Int(saturating: turn / (try time(1, way))))))
      afterTurn(way)
    }
    var samples = [[Double]](repeating: [], count: ways)
    let start = ContinuousClock.now
    var round = 0
    while round < 5 || (.now - start) / .seconds(1) < budget {
      for turn in 0..<ways {
        let way = (turn + round) % ways
        _ = try time(1, way)
        samples[way].append(try time(calls[way], way) / Double(calls[way]))
        afterTurn(way)
      }
      round += 1
    }
    self.init(rounds: samples)
  }
}
