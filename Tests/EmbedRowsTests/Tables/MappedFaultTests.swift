// A file that is cut short or written to while it is mapped is an error of the call, and of every later one;
// a fault anywhere else ends the process as before.

import EmbedFiles
import EmbedKernel
import EmbedRows
import Foundation
import TestSupport
import Testing

/// How a file goes wrong.
enum Accident: CaseIterable {
  /// Before a call: the file's size tells it.
  case cutBefore
  /// While a call runs, which `during` stands for: touching a page is a fault.
  case cutDuring
  /// Written to, its size as before.
  case written
}

@Suite struct MappedFaultTests {
  /// The reads of a table.
  static let reads:
    [(name: String, read: @Sendable (RowTable, [Int64]) throws(EmbedError) -> Void)] = [
      ("embed", { (table, ids) throws(EmbedError) in _ = try embed(table, ids) }),
      (
        "embed on threads",
        { (table, ids) throws(EmbedError) in _ = try embed(table, ids, threads: 3) }
      ),
      (
        "bag",
        { (table, ids) throws(EmbedError) in _ = try pool(table, ids, of: ids.count, threads: 3) }
      ),
      ("prefetch", { (table, ids) throws(EmbedError) in try table.prefetch(ids) }),
      ("decode", { (table, _) throws(EmbedError) in _ = try table.decoded() }),
      (
        "weights",
        { (table, ids) throws(EmbedError) in
          var gradients = [Float](repeating: 0, count: ids.count)
          try Kernels.auto.bagWeightGradient(
            [Float](repeating: 1, count: table.dim), ids: ids,
            in: .rectangle(batch: 1, bag: ids.count), tokens: table, into: &gradients)
        }
      ),
    ]

  @Test(arguments: 0..<reads.count, Accident.allCases) func callsThrow(
    _ number: Int, _ accident: Accident
  ) throws {
    let (name, read) = Self.reads[number]
    for (format, limit) in [(.float32, nil), (.int8, 1 << 20)] as [(RowFormat, Int?)] {
      let pair = try MappedPair(rows: 3_000, dim: 512, format)
      let table = try pair.map(limit)
      let ids = pair.ids(3_000) + [2_999]
      try read(table, ids)
      let size = try #require(
        try FileManager.default.attributesOfItem(atPath: pair.path)[.size] as? Int)
      let cut = size / 2
      func damage() throws {
        let file = try #require(FileHandle(forUpdatingAtPath: pair.path))
        switch accident {
        case .cutBefore, .cutDuring: try file.truncate(atOffset: UInt64(cut))
        case .written:
          try file.seek(toOffset: UInt64(cut))
          try file.write(contentsOf: Data([1]))
        }
        try file.close()
      }
      var found: EmbedError?
      if accident == .cutDuring {
        // A call has begun, which has seen the whole file.
        let pages = try #require(table.pages)
        try pages.enter()
        // What a call inside would look at first is passed by: it reads by the kernels alone.
        try damage()
        var sum = 0
        for row in 0..<table.rows {
          sum += Int(table.rowBytes[row * table.rowBytes.count / table.rows])
        }
        #expect(sum > 0)
        do throws(EmbedError) { try pages.leave() } catch { found = error }
      } else {
        // A file's time may stand still for some milliseconds.
        Thread.sleep(forTimeInterval: 0.02)
        try damage()
        do throws(EmbedError) { try read(table, ids) } catch { found = error }
      }
      guard case .unreadableRow(let row, let path, let offset, let reason)? = found else {
        Issue.record("\(name), \(accident): \(String(describing: found))")
        return
      }
      #expect(path == pair.path)
      #expect(row < table.rows)
      switch accident {
      case .cutBefore:
        #expect(offset == cut && reason.contains("cut short"))
        let first = (cut - (size - table.rowBytes.count)) / (table.rowBytes.count / table.rows)
        #expect(abs(row - first) <= 1)
      case .cutDuring:
        #expect(offset >= cut / 4_096 * 4_096 && reason.contains("page"))
        #expect(row > 0)
      case .written: #expect(reason.contains("written to"))
      }
      // The table refuses every later call, also when the file is whole again.
      try FileHandle(forUpdatingAtPath: pair.path)?.truncate(atOffset: UInt64(size))
      let error = try #require(found)
      for (_, read) in Self.reads { #expect(throws: error) { try read(table, ids) } }
      // A new table reads the file as it is now.
      #expect(throws: Never.self) { try read(try pair.map(limit), ids) }
    }
  }

  /// Files are cut while threads read: each call gives the right values or throws.
  @Test func cutWhileThreadsRead() throws {
    let pair = try MappedPair(rows: 6_000, dim: 512)
    let table = try pair.map()
    let ids = pair.ids(4_000)
    let expected = try embed(pair.inMemory, ids)
    let states = Guarded<(right: Int, thrown: Int, wrong: Int)>((0, 0, 0))
    let shared = SharedStates(states)
    let group = DispatchGroup()
    for thread in 0..<4 {
      DispatchQueue.global().async(group: group) {
        for _ in 0..<100_000 {
          do throws(EmbedError) {
            let isRight = try embed(table, ids, threads: 1 + thread % 2) == expected
            shared.states.withLock { isRight ? ($0.right += 1) : ($0.wrong += 1) }
          } catch {
            shared.states.withLock { $0.thrown += 1 }
            return
          }
        }
      }
    }
    while shared.states.withLock({ $0.right + $0.wrong < 4 }) {
      Thread.sleep(forTimeInterval: 0.01)
    }
    try FileHandle(forUpdatingAtPath: pair.path)?.truncate(atOffset: 4_096)
    group.wait()
    let (right, thrown, wrong) = shared.states.withLock { $0 }
    #expect(wrong == 0)
    #expect(thrown == 4)
    #expect(right > 0)
  }

  /// Tables of memory that is a mapped file's, by whoever made them, and files that are read as tensors.
  @Test func wrappedMemoryAndTensors() throws {
    let pair = try MappedPair(rows: 1_000)
    let file = Owner(try Safetensors(contentsOf: pair.path))
    let bytes = try unsafe file.tensors.unsafeBytes(of: "rows")
    let table = try unsafe RowTable(
      rows: 1_000, dim: 256, format: .float32, bytes: bytes, of: file)
    #expect(table.isMapped)
    #expect(!pair.inMemory.isMapped)
    _ = try embed(table, pair.ids(10))
    try FileHandle(forUpdatingAtPath: pair.path)?.truncate(atOffset: 100)
    #expect(throws: EmbedError.self) { try embed(table, pair.ids(10)) }
    #expect(throws: SafetensorsError.self) {
      _ = try unsafe file.tensors.unsafeBytes(of: "rows")
    }
    // Headers are read by calls that have no such fault.
    #expect(throws: SafetensorsError.self) { try SafetensorsHeader(contentsOf: pair.path) }
    #expect(throws: MappedTableError.self) { try pair.map() }
  }

  /// What changes a file's name, links, rights or the file of its name changes no row; `touch` cannot be told
  /// from a write, and is refused as one.
  @Test func whatIsNoWriteAndWhatMayBeOne() throws {
    let pair = try MappedPair(rows: 1_000)
    let ids = pair.ids(200)
    let expected = try embed(pair.inMemory, ids)
    let table = try pair.map()
    let touched = try pair.map(1 << 20)
    let manager = FileManager.default
    Thread.sleep(forTimeInterval: 0.02)
    try manager.linkItem(atPath: pair.path, toPath: pair.path + ".link")
    try manager.setAttributes([.posixPermissions: 0o400], ofItemAtPath: pair.path)
    try manager.moveItem(atPath: pair.path, toPath: pair.path + ".moved")
    try manager.copyItem(atPath: pair.path + ".moved", toPath: pair.path)
    try manager.removeItem(atPath: pair.path + ".moved")
    #expect(try embed(table, ids) == expected)
    #expect(try table.prefetch(ids) == ids.count)
    #expect(try embed(touched, ids) == expected)
    try manager.setAttributes([.modificationDate: Date.now], ofItemAtPath: pair.path + ".link")
    for table in [table, touched] {
      do throws(EmbedError) {
        _ = try embed(table, ids)
        Issue.record("a file whose time was set is read")
      } catch {
        guard case .unreadableRow(_, pair.path, _, let reason) = error else {
          Issue.record("\(error)")
          continue
        }
        #expect(reason.contains("or its time was set"))
      }
    }
    #expect(try embed(pair.map(), ids) == expected)
  }

  private final class Owner: Sendable {
    let tensors: Safetensors
    init(_ tensors: consuming Safetensors) { self.tensors = tensors }
  }

  private final class SharedStates: Sendable {
    let states: Guarded<(right: Int, thrown: Int, wrong: Int)>
    init(_ states: consuming Guarded<(right: Int, thrown: Int, wrong: Int)>) {
      self.states = states
    }
  }

  #if os(Linux)
    @Test(arguments: ["elsewhere", "chained", "outside"]) func otherFaultsEndTheProcess(
      _ scene: String
    ) throws {
      let pair = try MappedPair(rows: 10)
      let process = Process()
      process.executableURL = probe("MappedProbe")
      process.arguments = [scene, pair.path]
      process.environment = ["SWIFT_BACKTRACE": "enable=no"]
      (process.standardOutput, process.standardError) = (Pipe(), Pipe())
      try process.run()
      process.waitUntilExit()
      if scene == "chained" {
        #expect(process.terminationReason == .exit)
        #expect(process.terminationStatus == 7)
      } else {
        #expect(process.terminationReason == .uncaughtSignal)
        #expect(process.terminationStatus == SIGBUS)
      }
    }
  #endif
}
