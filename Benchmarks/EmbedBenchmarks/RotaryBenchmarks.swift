// Rotary positions on queries or keys `[batch, heads, context, headDim]` by each backend, beside a
// hand-written C loop and copies of the same tensor, all in one group of names:
//
//   rope/<backend>/f32/B8_H12_T1024_D64/<layout>[/in_place]/threads:2
//
// Tensors rotate over several, so that none is in cache. See `scripts/bench-ratios`.

internal import BenchmarkHarness
internal import CReferenceLoops
internal import EmbedKernel
internal import Foundation

/// One shape of work.
struct RotaryWorkload {
  var batch: Int
  var heads: Int
  var context: Int
  var headDim: Int
  var layout: RotaryLayout
  var isInPlace: Bool
  var order = HeadOrder.headsFirst

  var shape: RotaryShape {
    RotaryShape(batch: batch, heads: heads, context: context, headDim: headDim, order: order)
  }

  var count: Int { batch * heads * context * headDim }

  var name: String {
    "B\(batch)_H\(heads)_T\(context)_D\(headDim)/\(layout.rawValue)"
      + (order == .contextFirst ? "/context_first" : "") + (isInPlace ? "/in_place" : "")
  }

  /// GPT-2's heads, a larger model's, and one decoded token.
  static let all: [RotaryWorkload] =
    RotaryLayout.allCases.flatMap { layout in
      [false, true].flatMap { isInPlace in
        [
          RotaryWorkload(
            batch: 8, heads: 12, context: 1_024, headDim: 64, layout: layout,
            isInPlace: isInPlace),
          RotaryWorkload(
            batch: 8, heads: 12, context: 1_024, headDim: 64, layout: layout,
            isInPlace: isInPlace, order: .contextFirst),
          RotaryWorkload(
            batch: 1, heads: 32, context: 4_096, headDim: 128, layout: layout,
            isInPlace: isInPlace),
          RotaryWorkload(
            batch: 8, heads: 12, context: 1, headDim: 64, layout: layout, isInPlace: isInPlace),
        ]
      }
    }
}

/// Tensors to rotate over.
@safe final class RotaryFixture {
  let count: Int
  let inputs: [UnsafeMutableBufferPointer<Float>]
  let output: AlignedBuffer<Float>
  private let memory: AlignedBuffer<Float>

  init(count: Int) throws {
    // Together larger than a cache of 64 MiB, with whole lines each.
    let tensors = max(1, min(1_024, (128 << 20) / (count * 4)))
    memory = try AlignedBuffer(count: tensors * count)
    var state: UInt32 = 1
    for i in 0..<memory.count {
      state = state &* 1_664_525 &+ 1_013_904_223
      unsafe memory.unsafeBuffer[i] = Float(Int32(bitPattern: state)) / 2_147_483_648
    }
    output = try AlignedBuffer(count: count)
    self.count = count
    let all = unsafe memory.unsafeBuffer
    unsafe inputs = (0..<tensors).map { tensor in
      unsafe UnsafeMutableBufferPointer(rebasing: all[tensor * count..<(tensor + 1) * count])
    }
  }
}

struct RotaryBenchmarks {
  let store: FixtureStore
  private let cache = Cache()

  /// The last fixture, which benchmarks of one size share.
  private final class Cache {
    var fixture: RotaryFixture?
    func fixture(count: Int) throws -> RotaryFixture {
      if let fixture, fixture.count == count { return fixture }
      fixture = nil
      let made = try RotaryFixture(count: count)
      fixture = made
      return made
    }
  }

  private static let backends: [(name: String, backend: Backend?)] = [
    ("openblas", .openBLAS), ("simd", .simd), ("native", .native), ("auto", nil),
  ]

  init(store: FixtureStore) { self.store = store }

  func register(_ workload: RotaryWorkload, threads: Int) {
    for (name, backend) in Self.backends {
      register(name, workload, threads, Kernels(backend: backend, threads: threads))
    }
    if threads == ProcessInfo.processInfo.activeProcessorCount {
      register("default", workload, threads, Kernels.auto)
    }
    if workload.order == .headsFirst { registerLoop(workload, threads) }
    for copy in Copy.allCases { register(copy, workload, threads) }
  }

  private func name(_ kind: String, _ workload: RotaryWorkload, _ threads: Int) -> String {
    "\(kind)/f32/\(workload.name)/threads:\(threads)"
  }

  private func unit(_ workload: RotaryWorkload) -> BenchmarkUnit {
    workload.count < 1 << 18 ? .microsecond : .millisecond
  }

  private func register(
    _ kind: String, _ workload: RotaryWorkload, _ threads: Int, _ kernels: Kernels
  ) {
    Benchmark.register(name("rope/\(kind)", workload, threads), unit: unit(workload)) { state in
      let fixture = try cache.fixture(count: workload.count)
      let rotary = try RotaryEmbedding(headDim: workload.headDim, layout: workload.layout)
      try rotary.reserve(positions: workload.context)
      OpenBLAS.setThreads(1)
      let (inputs, output) = unsafe (fixture.inputs, fixture.output.unsafeBuffer)
      let (shape, isInPlace) = (workload.shape, workload.isInPlace)
      var call = 0
      try state.measure { () throws(EmbedError) in
        try unsafe rotary.rotate(
          UnsafeBufferPointer(inputs[call]), shape: shape,
          into: isInPlace ? inputs[call] : output, using: kernels)
        call += 1
        if unsafe call == inputs.count { call = 0 }
      }
      state.setBytes(perIteration: 8 * workload.count)
    }
  }

  private func registerLoop(_ workload: RotaryWorkload, _ threads: Int) {
    Benchmark.register(name("rope/c_loop", workload, threads), unit: unit(workload)) { state in
      let fixture = try cache.fixture(count: workload.count)
      let team = try store.team(threads)
      let rows = try AlignedBuffer<Float>(count: workload.context * workload.headDim)
      let pairs = workload.headDim / 2
      for t in 0..<workload.context {
        for i in 0..<pairs {
          let angle = Double(t) * pow(10_000, -2 * Double(i) / Double(workload.headDim))
          unsafe rows.unsafeBuffer[t * workload.headDim + i] = Float(cos(angle))
          unsafe rows.unsafeBuffer[t * workload.headDim + pairs + i] = Float(sin(angle))
        }
      }
      let inputs = unsafe fixture.inputs
      var work = unsafe crl_rotation(
        input: nil, rows: rows.unsafeBuffer.baseAddress,
        output: fixture.output.unsafeBuffer.baseAddress, heads: workload.batch * workload.heads,
        context: workload.context, head_dim: workload.headDim,
        interleaved: workload.layout == .interleaved ? 1 : 0)
      var call = 0
      state.measure {
        unsafe work.input = UnsafePointer(inputs[call].baseAddress)
        if workload.isInPlace { unsafe work.output = inputs[call].baseAddress }
        unsafe team.rotate(&work)
        call += 1
        if unsafe call == inputs.count { call = 0 }
      }
      state.setBytes(perIteration: 8 * workload.count)
    }
  }

  private func register(_ copy: Copy, _ workload: RotaryWorkload, _ threads: Int) {
    Benchmark.register(
      name("ceiling/\(copy.rawValue)", workload, threads), unit: unit(workload)
    ) { state in
      let fixture = try cache.fixture(count: workload.count)
      let team = try store.team(threads)
      let inputs = unsafe fixture.inputs
      let output = unsafe fixture.output.unsafeBuffer.baseAddress.unsafelyUnwrapped
      var call = 0
      state.measure {
        unsafe team.copy(
          copy, output, UnsafePointer(inputs[call].baseAddress.unsafelyUnwrapped), workload.count)
        call += 1
        if unsafe call == inputs.count { call = 0 }
      }
      state.setBytes(perIteration: 8 * workload.count)
    }
  }
}
