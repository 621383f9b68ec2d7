// What a thread does until it is over: calls of every kind in a random order, each result held to one thread's.

import EmbedKernel
import EmbedRows
import Foundation
import Synchronization
import TestSupport

/// What threads tell each other.
final class SoakState: Sendable {
  let plant: SoakProbe.Plant
  let isOver = Atomic(false)
  let calls = Atomic(0)
  private let countingSteps = Atomic(0)
  private let adamSteps = Atomic(0)
  private let found = Guarded<String?>(nil)
  private let leaks = Guarded<[[UInt8]]>([])

  /// No call makes more: the trained tables are replayed at the end.
  static let mostSteps = 400_000

  init(plant: SoakProbe.Plant, threads: Int) { self.plant = plant }

  var fault: String? { found.withLock { $0 } }
  func tell(_ fault: String) { found.withLock { $0 = $0 ?? fault } }

  var steps: (counting: Int, adam: Int) {
    (countingSteps.load(ordering: .relaxed), adamSteps.load(ordering: .relaxed))
  }
  var summary: String {
    "\(calls.load(ordering: .relaxed)) calls, \(steps.counting) and \(steps.adam) steps"
  }

  func addCountingStep() { countingSteps.add(1, ordering: .relaxed) }
  func addAdamStep() { adamSteps.add(1, ordering: .relaxed) }
  func leak() { leaks.withLock { $0.append([UInt8](repeating: 1, count: 1 << 16)) } }
}

struct SoakWorker {
  let tables: SoakTables
  let state: SoakState
  let number: Int
  private var generator: SeededGenerator
  private var output = [Float](repeating: 0, count: SoakTables.batch * SoakTables.dim)
  private var sums = [Float](
    repeating: 0, count: SoakTables.batch / SoakTables.bag * SoakTables.dim)

  init(_ tables: SoakTables, _ state: SoakState, number: Int, seed: UInt64) {
    (self.tables, self.state, self.number) = (tables, state, number)
    generator = SeededGenerator(seed: seed &* 1_000 &+ UInt64(number))
  }

  mutating func run() {
    while !state.isOver.load(ordering: .relaxed) {
      do throws(EmbedError) {
        try call()
      } catch {
        return state.tell("thread \(number): \(error)")
      }
      state.calls.add(1, ordering: .relaxed)
    }
  }

  private mutating func call() throws(EmbedError) {
    let kernels = Kernels.auto.threads(Int.random(in: 1...2, using: &generator))
    let batch = Int.random(in: 0..<SoakTables.batches, using: &generator)
    let ids = tables.ids[batch]
    let choice = Int.random(in: 0..<10, using: &generator)
    switch choice {
    case 0: try step(kernels)
    case 1:
      guard state.steps.adam < SoakState.mostSteps else { return }
      try tables.adam.withLock { (trained) throws(EmbedError) in
        try trained.step(SoakTables.gradients, kernels)
        state.addAdamStep()
      }
    default:
      let reader = tables.readers[choice % tables.readers.count]
      if Bool.random(using: &generator) {
        let stage: PrefetchStage = Bool.random(using: &generator) ? .started : .finished
        try reader.table.prefetch(ids, until: stage)
      }
      let isPooled = Bool.random(using: &generator)
      let found =
        isPooled
        ? try SoakTables.pool(reader.table, ids, &sums, kernels)
        : try SoakTables.embed(reader.table, ids, &output, kernels)
      if found != (isPooled ? reader.pooled : reader.embedded)[batch] {
        state.tell(
          "thread \(number): \(isPooled ? "bags" : "rows") of batch \(batch) from \(reader.name) are not "
            + "those of a thread alone")
      }
    }
    if state.plant == .leak { state.leak() }
    if state.plant == .bits, number == 0, state.calls.load(ordering: .relaxed) > 1_000 {
      unsafe tables.floats.unsafeBuffer[0] += 1
    }
  }

  private func step(_ kernels: Kernels) throws(EmbedError) {
    guard state.steps.counting < SoakState.mostSteps else { return }
    if state.plant == .race, number < 8 {
      // Read, wait, write back: what others did meanwhile is lost.
      let ids = SoakTrained.ids(of: state.steps.counting)
      let table = tables.counting.withLock { $0.table }
      for id in ids {
        let value = unsafe table.unsafeBuffer[Int(id) * SoakTrained.dim]
        sched_yield()
        unsafe table.unsafeBuffer[Int(id) * SoakTrained.dim] = value
      }
      return
    }
    try tables.counting.withLock { (trained) throws(EmbedError) in
      try trained.step(SoakTables.counts, kernels)
      state.addCountingStep()
    }
  }
}
