// Many threads of one process that call tables at once for minutes, and what must stay true meanwhile.
//
//   SoakProbe [--seconds N] [--threads N] [--seed N] [--plant race|leak|bits]
//
// Tables in memory and mapped, one with a resident limit of a quarter of it, are embedded and pooled; two are
// trained, one thread at a time as the API asks. Every result is held to what one thread gave before, trained
// tables to what their steps come to and to a replay by one thread; memory and allocations must not grow.
// --plant puts a fault in, to show that it is found. A line a finding; `end` where all was well.

import EmbedKernel
import EmbedRows
import Foundation
import Synchronization

@main struct SoakProbe {
  var seconds = 600.0
  var threads = 64
  var seed: UInt64 = 1
  var plant = Plant.none

  /// A fault that is put in.
  enum Plant: String {
    case none
    /// A table is stepped without waiting for the others.
    case race
    /// Each call keeps some memory.
    case leak
    /// A byte of a table changes.
    case bits
  }

  static func main() throws {
    var probe = SoakProbe()
    var words = CommandLine.arguments.dropFirst().makeIterator()
    while let word = words.next() {
      let value = words.next() ?? ""
      switch (word, Double(value), Int(value), Plant(rawValue: value)) {
      case ("--seconds", let seconds?, _, _) where seconds > 0: probe.seconds = seconds
      case ("--threads", _, let threads?, _) where 1...1_000 ~= threads: probe.threads = threads
      case ("--seed", _, let seed?, _) where seed >= 0: probe.seed = UInt64(seed)
      case ("--plant", _, _, let plant?): probe.plant = plant
      default:
        print("SoakProbe: '\(word) \(value)' is not understood")
        exit(2)
      }
    }
    guard try probe.run() else { exit(1) }
    print("end")
  }

  /// Whether all was well.
  func run() throws -> Bool {
    let tables = try SoakTables(seed: seed)
    let state = SoakState(plant: plant, threads: threads)
    let watch = SoakWatch(tables, state)
    let start = Date()
    let group = DispatchGroup()
    for number in 0..<threads {
      group.enter()
      // Threads of their own: a queue's pool has fewer.
      let thread = Thread {
        var worker = SoakWorker(tables, state, number: number, seed: seed)
        worker.run()
        group.leave()
      }
      thread.stackSize = 1 << 20
      thread.start()
    }
    while Date().timeIntervalSince(start) < seconds, state.fault == nil {
      watch.look(at: Date().timeIntervalSince(start) / seconds)
      Thread.sleep(forTimeInterval: min(0.25, seconds / 200))
    }
    state.isOver.store(true, ordering: .relaxed)
    group.wait()
    watch.rest()
    var faults = watch.faults()
    if let fault = state.fault { faults.append(fault) }
    faults += try tables.trainedFaults(state)
    print(
      "\(threads) threads, \(Int(Date().timeIntervalSince(start))) s, seed \(seed): \(state.summary)"
    )
    print(watch.summary)
    for fault in faults { print("FAULT: \(fault)") }
    return faults.isEmpty
  }
}
