// The process's memory and allocations over time. From a quarter of the time on they must be flat: the mean of
// the last quarter is held to that of the second.

import AllocationCounter
import EmbedFiles
import EmbedKernel
import Foundation
import Synchronization

final class SoakWatch {
  /// Bytes that a mean may grow by, from the second quarter to the last.
  static let growth = 1 << 20

  private let tables: SoakTables
  private let state: SoakState
  private var samples: [Sample] = []
  private var mostMapped = 0
  /// Allocations of a look, which a thread alone makes.
  private var own = 0

  private struct Sample {
    var time: Double
    /// Bytes in memory that are no file's.
    var anonymous: Int
    var allocations: Int
    var calls: Int
  }

  init(_ tables: SoakTables, _ state: SoakState) {
    (self.tables, self.state) = (tables, state)
    samples.reserveCapacity(10_000)
    look(at: 0)
    let before = allocation_count()
    look(at: 0)
    own = allocation_count() - before
    samples.removeAll(keepingCapacity: true)
  }

  func look(at time: Double) {
    #if os(Linux)
      let anonymous = Self.anonymous
      samples.append(
        Sample(
          time: time, anonymous: anonymous,
          allocations: allocation_count() - own * (samples.count + 1),
          calls: state.calls.load(ordering: .relaxed)))
    #endif
  }

  /// Looks at what is left when nobody reads.
  func rest() {
    var (isOfFile, mapped) = (false, [Int]())
    for line in Self.lines("/proc/self/smaps") {
      if line.hasPrefix("Rss:"), isOfFile { mapped.append(Self.number(line)) }
      let first = line.utf8.first ?? 0
      // A mapping's first line begins with its address; the others with a capital.
      if first < UInt8(ascii: "A") || first >= UInt8(ascii: "a") {
        isOfFile = line.hasSuffix(tables.path)
      }
    }
    // The file is mapped twice, and with the limit less of it is there.
    mostMapped = mapped.min() ?? 0
  }

  /// Bytes in memory that are no file's.
  private static var anonymous: Int {
    lines("/proc/self/status").first { $0.hasPrefix("RssAnon:") }.map(number) ?? 0
  }

  private static func lines(_ path: String) -> [Substring] {
    (TextFile.ofSystem(path, limit: 1 << 20) ?? "").split(separator: "\n")
  }

  private static func number(_ line: Substring) -> Int {
    (Int(line.split(separator: " ").dropFirst().first ?? "") ?? 0) << 10
  }

  private func mean(_ range: ClosedRange<Double>, _ value: (Sample) -> Int) -> Int {
    let found = samples.filter { range.contains($0.time) }.map(value)
    return found.isEmpty ? 0 : found.reduce(0, +) / found.count
  }

  private var memory: (early: Int, late: Int) {
    (mean(0.25...0.5) { $0.anonymous }, mean(0.75...1) { $0.anonymous })
  }

  /// Allocations a thousand calls.
  private var allocations: (early: Int, late: Int) {
    func rate(_ range: ClosedRange<Double>) -> Int {
      let found = samples.filter { range.contains($0.time) }
      guard let first = found.first, let last = found.last, last.calls > first.calls else {
        return 0
      }
      return (last.allocations - first.allocations) * 1_000 / (last.calls - first.calls)
    }
    return (rate(0.25...0.5), rate(0.75...1))
  }

  var summary: String {
    "memory of no file: \(memory.early >> 10) KiB early, \(memory.late >> 10) KiB late; "
      + "allocations a thousand calls: \(allocations.early) early, \(allocations.late) late; "
      + "at the end \(mostMapped >> 10) KiB are resident of a limit of \(SoakTables.limit >> 10)"
  }

  func faults() -> [String] {
    var faults: [String] = []
    if memory.early == 0 || mostMapped == 0 { faults.append("the system does not tell the memory") }
    guard samples.count >= 20 else {
      return state.fault == nil ? ["it was over too soon to tell"] : []
    }
    if memory.late - memory.early > Self.growth {
      faults.append("memory grew by \((memory.late - memory.early) >> 10) KiB")
    }
    if Double(allocations.late) > 1.2 * Double(allocations.early) + 100 {
      faults.append("calls allocate more and more")
    }
    if mostMapped > SoakTables.limit {
      faults.append(
        "\(mostMapped >> 10) KiB were resident of a table with a limit of \(SoakTables.limit >> 10)"
      )
    }
    return faults
  }
}
