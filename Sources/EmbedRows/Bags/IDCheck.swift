// Whether all ids of a call are rows of its table, looked at by threads where there are many: at dims
// below 100 reading them takes a tenth of the time or more.

internal import CKernels
internal import EmbedKernel
internal import Synchronization

/// A pass over ids, which ends in whether one is outside.
@safe struct IDCheck: ParallelWork {
  private let ids: TokenIDs
  private let rows: Int
  private let kernels: UnsafePointer<ek_kernels>
  private let isOutside: UnsafePointer<Atomic<Bool>>

  /// Fewer bytes of ids than this are one thread's.
  private static let parallelBytes = 128 << 10

  /// Whether every id is in `0..<rows`.
  static func passes(_ ids: TokenIDs, rows: Int, _ choice: Kernels) throws(EmbedError) -> Bool {
    let plan = try Plan(
      choice, outputBytes: ids.bytes, rows: max(1, ids.count), dim: 1, byAVX2: false)
    let isOutside = Atomic(false)
    unsafe withUnsafePointer(to: isOutside) { isOutside in
      let check = unsafe IDCheck(
        ids: ids, rows: rows, kernels: plan.kernels, isOutside: isOutside)
      check.split(ids.count, ids.bytes < parallelBytes ? 1 : plan.threads)
    }
    return !isOutside.load(ordering: .relaxed)
  }

  func run(_ range: Range<Int>) {
    guard unsafe !ids.areAll(below: rows, in: range, kernels) else { return }
    unsafe isOutside.pointee.store(true, ordering: .relaxed)
  }
}
