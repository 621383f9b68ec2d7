// The forward pass of each backend, and the hand-written C loops, over the same memory and ids.
// Each reports `bytes_per_second` of compulsory traffic, `time_per_token`, and
// `of_streaming_copy`: its traffic a second over that of a streaming copy of the output on as
// many threads, sampled in this process just before and just after. Outputs that stay in cache
// are held against `memcpy` instead, as `of_memcpy`. For ratios between backends rather than to
// the ceiling, run them interleaved: see `scripts/bench ratios`.

internal import BenchmarkHarness
internal import CReferenceLoops
internal import EmbedKernel
internal import Foundation

/// The loops of C, named in the place of a backend.
enum CLoop: String, CaseIterable {
  case plain = "c_plain"
  case streaming = "c_streaming"
}

struct ForwardBenchmarks {
  let store: FixtureStore

  private static let backends: [(name: String, backend: Backend?)] = [
    ("openblas", .openBLAS), ("simd", .simd), ("native", .native), ("auto", nil),
  ]

  func register(_ workload: Workload, threads: Int) {
    for (name, backend) in Self.backends {
      register(name, workload, threads, Kernels(backend: backend, threads: threads))
    }
    if threads == ProcessInfo.processInfo.activeProcessorCount {
      // What a caller gets who chooses nothing, the number of threads included.
      register("default", workload, threads, Kernels.auto)
    }
    for loop in CLoop.allCases where loop == .streaming || threads == 1 {
      register(loop, workload, threads)
    }
    for copy in Copy.allCases {
      register(copy, workload, threads)
    }
  }

  private func name(_ kind: String, _ workload: Workload, _ threads: Int) -> String {
    "\(kind)/f32/\(workload.name)/threads:\(threads)"
  }

  private func unit(_ workload: Workload) -> BenchmarkUnit {
    workload.outputBytes < 1 << 20 ? .microsecond : .millisecond
  }

  // MARK: The library

  private func register(
    _ kind: String, _ workload: Workload, _ threads: Int, _ kernels: Kernels
  ) {
    Benchmark.register(
      name("forward/\(kind)", workload, threads), unit: unit(workload)
    ) { state in
      let fixture = try store.fixture(workload)
      OpenBLAS.setThreads(threads)
      let tokens = unsafe UnsafeBufferPointer(fixture.tokens.unsafeBuffer)
      let positions = unsafe UnsafeBufferPointer(fixture.positions.unsafeBuffer)
      var output = unsafe fixture.output.unsafeBuffer
      let shape = EmbeddingShape(
        vocabulary: workload.vocabulary, batch: workload.batch, context: workload.context,
        dim: workload.dim)
      let ids = unsafe fixture.ids
      defer { if kernels.backend == .openBLAS { OpenBLAS.settle() } }
      try measure(state, fixture, threads) { state in
        var call = 0
        try state.measure { () throws(EmbedError) in
          try unsafe kernels.embed(
            ids: ids[call], tokens: tokens, positions: positions, shape: shape, into: &output)
          call += 1
          if unsafe call == ids.count { call = 0 }
        }
      }
    }
  }

  // MARK: C

  private func register(_ loop: CLoop, _ workload: Workload, _ threads: Int) {
    Benchmark.register(
      name("forward/\(loop.rawValue)", workload, threads), unit: unit(workload)
    ) { state in
      let fixture = try store.fixture(workload)
      let team = try store.team(threads)
      let ids = unsafe fixture.ids
      var work = unsafe crl_embedding(
        tokens: fixture.tokens.unsafeBuffer.baseAddress,
        positions: fixture.positions.unsafeBuffer.baseAddress, ids: nil,
        output: fixture.output.unsafeBuffer.baseAddress, batch: workload.batch,
        context: workload.context, dim: workload.dim)
      try measure(state, fixture, threads) { state in
        var call = 0
        func run() {
          unsafe work.ids = ids[call].baseAddress
          switch loop {
          case .plain: unsafe crl_embed_plain(&work)
          case .streaming: unsafe team.embedStreaming(&work)
          }
          call += 1
          if unsafe call == ids.count { call = 0 }
        }
        if loop == .streaming { team.tune(run) }
        defer { team.untune() }
        state.measure(run)
      }
    }
  }

  /// Runs `body` between two samples of the copy's speed, and sets the counters.
  private func measure(
    _ state: borrowing BenchmarkState, _ fixture: Fixture, _ threads: Int,
    _ body: (borrowing BenchmarkState) throws -> Void
  ) throws {
    let workload = fixture.workload
    var speed = try CopySpeed(fixture, threads: threads, store: store)
    speed.sample()
    try body(state)
    speed.sample()
    state.setBytes(perIteration: workload.compulsoryBytes)
    state.setCounter("time_per_token", Double(workload.tokens), as: .secondsPer)
    state.setCounter("ids_sum", Double(fixture.idSum))
    state.setCounter(
      "of_\(speed.copy.rawValue)", Double(workload.compulsoryBytes) / speed.bytesPerSecond,
      as: .ratePerIteration)
  }

  // MARK: Copies of the output

  private func register(_ copy: Copy, _ workload: Workload, _ threads: Int) {
    Benchmark.register(
      name("ceiling/\(copy.rawValue)", workload, threads), unit: unit(workload)
    ) { state in
      let fixture = try store.fixture(workload)
      let team = try store.team(threads)
      let source = try store.copySource(workload.outputCount)
      let output = unsafe fixture.output.unsafeBuffer.baseAddress.unsafelyUnwrapped
      let count = min(workload.outputCount, FixtureStore.longestCopy / 4)
      state.measure {
        unsafe team.copy(copy, output, source.take(count), count)
      }
      state.setBytes(perIteration: 8 * count)
    }
  }
}
