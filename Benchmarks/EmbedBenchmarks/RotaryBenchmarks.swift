// Rotary positions on queries or keys `[batch, heads, context, headDim]` by each backend, beside a
// hand-written C loop and copies of the same tensor, all in one group of names:
//
//   rope/<backend>/f32/B8_H12_T1024_D64/<layout>[/in_place]/threads:2
//
// and the same with bf16 and f16 for 16-bit elements, beside a copy of as many bytes.
//
// Tensors rotate over several, so that none is in cache. See `scripts/bench ratios`.

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
@safe final class RotaryFixture<Element: TableElement> {
  let count: Int
  let inputs: [UnsafeMutableBufferPointer<Element>]
  let output: AlignedBuffer<Element>
  private let memory: AlignedBuffer<Element>

  init(count: Int) throws {
    // Together larger than a cache of 64 MiB, with whole lines each.
    let tensors = max(1, min(1_024, (128 << 20) / (count * MemoryLayout<Element>.size)))
    memory = try AlignedBuffer(count: tensors * count)
    var state: UInt32 = 1
    let floats = try AlignedBuffer<Float>(count: memory.count)
    for i in 0..<memory.count {
      state = state &* 1_664_525 &+ 1_013_904_223
      unsafe floats.unsafeBuffer[i] = Float(Int32(bitPattern: state)) / 2_147_483_648
    }
    let drawn = floats.span
    var rounded = unsafe MutableSpan(_unsafeElements: memory.unsafeBuffer)
    try Kernels.auto.convert(drawn, into: &rounded)
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

  /// The last fixture, which benchmarks of one size and type share.
  private final class Cache {
    var fixture: AnyObject?
    func fixture<Element: TableElement>(
      count: Int, _ type: Element.Type
    ) throws -> RotaryFixture<Element> {
      if let fixture = fixture as? RotaryFixture<Element>, fixture.count == count {
        return fixture
      }
      fixture = nil
      let made = try RotaryFixture<Element>(count: count)
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
      let kernels = Kernels(backend: backend, threads: threads)
      register(name, workload, threads, kernels, Float.self)
      register(name, workload, threads, kernels, BFloat16.self)
      register(name, workload, threads, kernels, Half.self)
    }
    if threads == ProcessInfo.processInfo.activeProcessorCount {
      register("default", workload, threads, Kernels.auto, Float.self)
    }
    if !workload.isInPlace, workload.order == .headsFirst, workload.batch == 8 {
      for (name, backend) in Self.backends {
        registerBoth(name, workload, threads, Kernels(backend: backend, threads: threads))
      }
    }
    if workload.order == .headsFirst { registerLoop(workload, threads) }
    for copy in Copy.allCases {
      register(copy, workload, threads, .float32)
      register(copy, workload, threads, .bfloat16)
    }
  }

  private func name(
    _ kind: String, _ workload: RotaryWorkload, _ threads: Int, _ type: ElementType = .float32
  ) -> String {
    "\(kind)/\(type.rawValue)/\(workload.name)/threads:\(threads)"
  }

  private func unit(_ workload: RotaryWorkload) -> BenchmarkUnit {
    workload.count < 1 << 18 ? .microsecond : .millisecond
  }

  private func register<Element: TableElement>(
    _ kind: String, _ workload: RotaryWorkload, _ threads: Int, _ kernels: Kernels,
    _ type: Element.Type
  ) {
    Benchmark.register(
      name("rope/\(kind)", workload, threads, Element.elementType), unit: unit(workload)
    ) { state in
      let fixture = try cache.fixture(count: workload.count, Element.self)
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
      state.setBytes(perIteration: 2 * workload.count * Element.elementType.byteCount)
    }
  }

  /// Queries and keys of one size together, as `scripts/reference/compare_rotary.py` compares them.
  private func registerBoth(
    _ kind: String, _ workload: RotaryWorkload, _ threads: Int, _ kernels: Kernels
  ) {
    let name = "rope/\(kind)/f32/\(workload.name)/queries_and_keys/threads:\(threads)"
    Benchmark.register(name, unit: unit(workload)) { state in
      let fixture = try cache.fixture(count: workload.count, Float.self)
      let rotary = try RotaryEmbedding(headDim: workload.headDim, layout: workload.layout)
      try rotary.reserve(positions: workload.context)
      OpenBLAS.setThreads(1)
      let second = try AlignedBuffer<Float>(count: workload.count)
      let (inputs, outputs) = unsafe (
        fixture.inputs, (fixture.output.unsafeBuffer, second.unsafeBuffer)
      )
      let shape = workload.shape
      var call = 0
      try state.measure { () throws(EmbedError) in
        try unsafe rotary.rotate(
          UnsafeBufferPointer(inputs[call]), shape: shape, into: outputs.0, using: kernels)
        try unsafe rotary.rotate(
          UnsafeBufferPointer(inputs[(call + 1) % inputs.count]), shape: shape, as: .keys,
          into: outputs.1, using: kernels)
        call += 2
        if unsafe call >= inputs.count { call = 0 }
      }
      state.setBytes(perIteration: 16 * workload.count)
    }
  }

  private func registerLoop(_ workload: RotaryWorkload, _ threads: Int) {
    Benchmark.register(name("rope/c_loop", workload, threads), unit: unit(workload)) { state in
      let fixture = try cache.fixture(count: workload.count, Float.self)
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

  /// A copy of as many bytes as a tensor of `type` has.
  private func register(
    _ copy: Copy, _ workload: RotaryWorkload, _ threads: Int, _ type: ElementType
  ) {
    Benchmark.register(
      name("ceiling/\(copy.rawValue)", workload, threads, type), unit: unit(workload)
    ) { state in
      let count = workload.count * type.byteCount / 4
      let fixture = try cache.fixture(count: count, Float.self)
      let team = try store.team(threads)
      let inputs = unsafe fixture.inputs
      let output = unsafe fixture.output.unsafeBuffer.baseAddress.unsafelyUnwrapped
      var call = 0
      state.measure {
        unsafe team.copy(
          copy, output, UnsafePointer(inputs[call].baseAddress.unsafelyUnwrapped), count)
        call += 1
        if unsafe call == inputs.count { call = 0 }
      }
      state.setBytes(perIteration: 8 * count)
    }
  }
}
