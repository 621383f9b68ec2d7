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
    let forward = ForwardBenchmarks(store: store)
    let halfPrecision = HalfPrecisionBenchmarks(store)
    for workload in [Workload.seed, Workload.gpt2] {
      for threads in threadCounts { halfPrecision.register(workload, threads: threads) }
    }
    for workload in Workload.all {
      for threads in threadCounts {
        forward.register(workload, threads: threads)
      }
    }
    let backward = BackwardBenchmarks(store: store)
    for workload in Workload.headline + Workload.backwardSweeps {
      for threads in threadCounts {
        backward.register(workload, threads: threads)
      }
    }
    let step = StepBenchmarks(store: store)
    for workload in Workload.stepped {
      for threads in threadCounts {
        step.register(workload, threads: threads)
      }
    }
    let halfPrecisionStep = HalfPrecisionStepBenchmarks(store: store)
    for workload in Workload.stepped {
      for threads in threadCounts { halfPrecisionStep.register(workload, threads: threads) }
    }
    let normalize = NormalizeBenchmarks(store: store)
    for workload in Workload.headline {
      for threads in threadCounts {
        normalize.register(workload, threads: threads)
      }
    }
    let rotary = RotaryBenchmarks(store: store)
    for workload in RotaryWorkload.all {
      for threads in threadCounts {
        rotary.register(workload, threads: threads)
      }
    }
    let biases = BiasBenchmarks(store: store)
    for shape in BiasBenchmarks.shapes {
      for threads in threadCounts { biases.register(shape, threads: threads) }
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
