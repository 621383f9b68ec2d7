// Backward of each backend, and the hand-written C bars, over the same memory and ids.
//
// `.../row_sparse`: the token gradient row-sparse and the position gradient overwritten; its bar
// `c_sorted_copy` copies the output gradient once, in the order of sorted ids, past the caches.
// `.../dense`: the token gradient added to an existing buffer, no positions; its bars `c_index_add` and
// `c_sorted_add` add the rows in batch order and in that of sorted ids. Bars prefetch as suits them best
// here. Sorting and grouping are part of our time, not of the bars'.

internal import BenchmarkHarness
internal import CReferenceLoops
internal import EmbedKernel
internal import Foundation

extension Workload {
  /// GPT-2's shape with other dims and batches.
  static let backwardSweeps: [Workload] =
    [64, 256, 385, 2_048].map { Workload(50_257, 8, 1_024, $0) }
    + [1, 64].map { Workload(50_257, $0, 1_024, 768) } + [short]

  /// The rows read and written at least: the output gradient, a row for each different id, and the
  /// position rows; dense rows are read too.
  func backwardBytes(_ form: BackwardForm, uniqueRows: Int) -> Int {
    switch form {
    case .rowSparse: outputBytes + (uniqueRows + context) * dim * 4
    case .dense: outputBytes + 2 * uniqueRows * dim * 4
    }
  }
}

/// Where the token gradient goes.
enum BackwardForm: String, CaseIterable {
  case rowSparse = "row_sparse"
  case dense
}

/// A bar in C.
enum BackwardLoop: String {
  case sortedCopy = "c_sorted_copy"
  case indexAdd = "c_index_add"
  case sortedAdd = "c_sorted_add"
}

/// What backward works on beside the forward fixture.
@safe final class BackwardFixture {
  let forward: Fixture
  let dense: EmbeddingTable<Float>?
  var tokens: RowSparseGradient
  let positions: AlignedBuffer<Float>
  /// The output of the sorted copy.
  let copied: AlignedBuffer<Float>
  var workspace: BackwardWorkspace
  /// For each batch of ids, the tokens in the order of their ids.
  let orders: [[Int32]]
  let uniqueRows: Int

  init(_ forward: Fixture, _ form: BackwardForm) throws {
    let workload = forward.workload
    self.forward = forward
    tokens = try RowSparseGradient(
      rows: workload.vocabulary, dim: workload.dim,
      capacity: form == .rowSparse ? workload.tokens : 0)
    positions = try AlignedBuffer(count: workload.context * workload.dim)
    copied = try AlignedBuffer(count: form == .rowSparse ? workload.outputCount : 0)
    workspace = try BackwardWorkspace(capacity: workload.tokens)
    dense =
      try form == .dense ? EmbeddingTable<Float>(rows: workload.vocabulary, dim: workload.dim) : nil
    orders = unsafe forward.ids.map { ids in
      ids.indices.sorted { unsafe (ids[$0], $0) < (ids[$1], $1) }.map { Int32($0) }
    }
    uniqueRows =
      unsafe forward.ids.reduce(0) { unsafe $0 + Set($1).count } / max(1, orders.count)
  }
}

extension BackwardFixture {
  func backward(_ call: Int, _ kernels: Kernels) throws(EmbedError) {
    let workload = forward.workload
    let shape = EmbeddingShape(
      vocabulary: workload.vocabulary, batch: workload.batch, context: workload.context,
      dim: workload.dim)
    let gradient = unsafe UnsafeBufferPointer(forward.output.unsafeBuffer)
    let ids = unsafe forward.ids[call]
    try unsafe Self.backward(
      kernels, gradient, ids, shape, dense?.unsafeBuffer, &tokens, positions.unsafeBuffer,
      &workspace)
  }

  /// A target lives as long as the access to what it names: here an argument, not a class's property.
  private static func backward(
    _ kernels: Kernels, _ gradient: UnsafeBufferPointer<Float>, _ ids: UnsafeBufferPointer<Int32>,
    _ shape: EmbeddingShape, _ dense: UnsafeMutableBufferPointer<Float>?,
    _ tokens: inout RowSparseGradient, _ positions: UnsafeMutableBufferPointer<Float>,
    _ workspace: inout BackwardWorkspace
  ) throws(EmbedError) {
    if let dense = unsafe dense {
      try unsafe kernels.backward(
        gradient, ids: ids, shape: shape, tokens: .dense(dense, .accumulate), positions: .none,
        workspace: &workspace)
    } else {
      try unsafe kernels.backward(
        gradient, ids: ids, shape: shape, tokens: .rowSparse(&tokens),
        positions: .dense(positions, .overwrite), workspace: &workspace)
    }
  }

  func runLoop(_ loop: BackwardLoop, _ call: Int, _ team: Team) {
    let ids = unsafe forward.ids[call]
    unsafe orders[call].withUnsafeBufferPointer { order in
      var work = unsafe crl_backward(
        gradient: forward.output.unsafeBuffer.baseAddress, order: order.baseAddress,
        ids: ids.baseAddress, output: (dense?.unsafeBuffer ?? copied.unsafeBuffer).baseAddress,
        tokens: forward.workload.tokens, dim: forward.workload.dim,
        rows: forward.workload.vocabulary)
      switch loop {
      case .sortedCopy: unsafe team.gatherSorted(&work)
      case .indexAdd: unsafe team.indexAdd(&work)
      case .sortedAdd: unsafe team.sortedAdd(&work)
      }
    }
  }
}

struct BackwardBenchmarks {
  let store: FixtureStore

  func register(_ workload: Workload, threads: Int) {
    for form in BackwardForm.allCases {
      for (name, kernels) in Kernels.choices(threads) {
        register(name, form, workload, threads) { state, fixture in
          defer { if kernels.backend == .openBLAS { OpenBLAS.settle() } }
          var call = 0
          try state.measure { () throws(EmbedError) in
            try fixture.backward(call, kernels)
            call += 1
            if call == fixture.orders.count { call = 0 }
          }
        }
      }
      for loop in form == .rowSparse ? [BackwardLoop.sortedCopy] : [.indexAdd, .sortedAdd] {
        register(loop.rawValue, form, workload, threads) { state, fixture in
          let team = try store.team(threads)
          var call = 0
          func run() {
            fixture.runLoop(loop, call, team)
            call += 1
            if call == fixture.orders.count { call = 0 }
          }
          team.tune(run)
          defer { team.untune() }
          state.measure(run)
        }
      }
    }
  }

  private func register(
    _ kind: String, _ form: BackwardForm, _ workload: Workload, _ threads: Int,
    _ body: @escaping (borrowing BenchmarkState, BackwardFixture) throws -> Void
  ) {
    Benchmark.register(
      "backward/\(kind)/f32/\(workload.name)/\(form.rawValue)/threads:\(threads)",
      unit: workload.outputBytes < 1 << 20 ? .microsecond : .millisecond
    ) { state in
      let fixture = try store.backward(workload, form)
      OpenBLAS.setThreads(threads)
      try body(state, fixture)
      state.setBytes(
        perIteration: workload.backwardBytes(form, uniqueRows: fixture.uniqueRows))
      state.setCounter("time_per_token", Double(workload.tokens), as: .secondsPer)
    }
  }
}
