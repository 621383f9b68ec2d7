// Times kernels of a user's own with EmbedKernel's harness: import, register, run. The scripts of
// EmbedKernel then compare revisions of this package, count instructions and convert reports.
// `scaled` makes a new array each time, which the count of allocations must show.

import BenchmarkHarness

let x = (0..<4_096).map { Float($0 % 7) }
let y = (0..<4_096).map { Float($0 % 5) }

func dot(_ x: [Float], _ y: [Float]) -> Float {
  var sum: Float = 0
  for i in x.indices { sum += x[i] * y[i] }
  return sum
}

Benchmark.register("dot/N4096/threads:1", bytes: 8 * x.count) { Benchmark.keep(dot(x, y)) }
Benchmark.register("scaled/N4096/threads:1") { Benchmark.keep(x.map { 2 * $0 }) }
Benchmark.main()
