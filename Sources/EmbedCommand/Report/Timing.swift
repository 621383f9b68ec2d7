// How long calls take, by the clock that never stands still.

/// Seconds that `body` takes.
func seconds<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) -> Double {
  let start = ContinuousClock.now
  try body()
  return (.now - start) / .seconds(1)
}

/// Seconds a call of `body`, for a first impression that takes a tenth of a second; the benchmarks are for
/// figures to rely on: the median over runs of calls, each run long enough for the clock.
func secondsPerCall(
  budget: Double = 0.1, _ body: () throws -> Void
) throws -> Double {
  // The first call may find memory that is not mapped yet, and threads that are asleep.
  let first = try max(seconds(body), 1e-9)
  if first > budget { return first }
  let calls = max(1, Int(saturating: budget / 50 / max(try seconds(body), 1e-9)))
  var samples: [Double] = []
  let start = ContinuousClock.now
  repeat {
    samples.append(try seconds { for _ in 0..<calls { try body() } } / Double(calls))
  } while (.now - start) / .seconds(1) < budget
  return samples.sorted()[samples.count / 2]
}
