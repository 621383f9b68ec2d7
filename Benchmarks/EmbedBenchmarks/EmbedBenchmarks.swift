// The benchmark executable: registers every workload for every backend, then lets Google
// Benchmark's flags choose. `--benchmark_list_tests` lists the names,
// `--benchmark_filter=forward/.*/f32/V50257_B8_T1024_D768/threads:2` runs GPT-2's shape.

internal import BenchmarkHarness
internal import CReferenceLoops
internal import EmbedKernel
internal import Foundation

@main
enum EmbedBenchmarks {
  static func main() {
    let store = FixtureStore()
    let available = ProcessInfo.processInfo.activeProcessorCount
    let threadCounts = Set([1, 2, available]).sorted()
    func forEach<Work>(_ works: [Work], _ register: (_ work: Work, _ threads: Int) -> Void) {
      for work in works {
        for threads in threadCounts { register(work, threads) }
      }
    }
    let forward = ForwardBenchmarks(store: store)
    let sixteenBit = SixteenBitBenchmarks(store)
    let rows = RowBenchmarks(store: store)
    let backward = BackwardBenchmarks(store: store)
    let step = StepBenchmarks(store: store)
    let sixteenBitStep = SixteenBitStepBenchmarks(store: store)
    let normalize = NormalizeBenchmarks(store: store)
    let rotary = RotaryBenchmarks(store: store)
    let biases = BiasBenchmarks(store: store)
    let training = TrainingBenchmarks()
    forEach([Workload.seed, Workload.gpt2]) { sixteenBit.register($0, threads: $1) }
    forEach([Workload.gpt2]) { rows.register($0, threads: $1) }
    forEach(Workload.all) { forward.register($0, threads: $1) }
    forEach(Workload.headline + Workload.backwardSweeps) { backward.register($0, threads: $1) }
    forEach(Workload.stepped) { step.register($0, threads: $1) }
    forEach(Workload.stepped) { sixteenBitStep.register($0, threads: $1) }
    forEach(Workload.headline) { normalize.register($0, threads: $1) }
    forEach(RotaryWorkload.all) { rotary.register($0, threads: $1) }
    forEach(BiasBenchmarks.shapes) { biases.register($0, threads: $1) }
    forEach(TrainingWorkload.all) { training.register($0, threads: $1) }
    forEach([1, 64, 1_000]) { training.registerNext(at: $0, threads: $1) }
    forEach([512, 2_048]) {
      training.registerLoss(vocabulary: 50_257, rows: 2_048, dim: 256, chunk: $0, threads: $1)
    }
    registerOverheads(store, threads: 2)
    OpenBLAS.addContext()
    Benchmark.addContext("threads_available", "\(available)")
    Benchmark.addContext("instruction_set", InstructionSet.best.rawValue)
    Benchmark.addContext("tuning", "\(TuningSource.ofProcess.origin)")
    Benchmark.addContext("c_loops", unsafe String(cString: crl_instruction_set()))
    Benchmark.main()
  }
}
