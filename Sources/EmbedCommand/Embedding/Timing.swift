// How long a call takes, measured in a tenth of a second: for a first impression. The benchmarks
// are for figures to rely on.

/// Seconds a call of `body`: the median over runs of calls, each run long enough for the clock.
func secondsPerCall(
  budget: Double = 0.1, _ body: () throws -> Void
) throws -> Double {
  let clock = ContinuousClock()
  func seconds(_ calls: Int) throws -> Double {
    let start = clock.now
    for _ in 0..<calls { try body() }
    return (clock.now - start) / .seconds(1)
  }
  // The first call may find memory that is not mapped yet, and threads that are asleep.
  let first = try max(seconds(1), 1e-9)
  if first > budget { return first }
  let warm = try max(seconds(1), 1e-9)
  let calls = max(1, Int(saturating: budget / 50 / warm))
  var samples: [Double] = []
  let start = clock.now
  repeat {
    samples.append(try seconds(calls) / Double(calls))
  } while (clock.now - start) / .seconds(1) < budget
  return samples.sorted()[samples.count / 2]
}
