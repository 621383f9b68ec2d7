// How much of a mapped table's file is in memory, of this process and of the machine.

#if os(Linux)
  import EmbedFiles
  import EmbedKernel
  import EmbedRows
  import Foundation
  import TestSupport
  import Testing

  /// What the system says of this process's mappings of a file, in bytes.
  private func mapped(_ path: String, _ field: String, process: String = "self") throws -> Int {
    let text = try #require(TextFile.ofSystem("/proc/\(process)/smaps", limit: 4 << 20))
    var sum = 0
    // What follows a mapping's first line, which ends with the path; all lines take seconds in debug.
    for mapping in text.components(separatedBy: path + "\n").dropFirst() {
      let lines = mapping.split(separator: "\n", maxSplits: 24)
      if let line = lines.first(where: { $0.hasPrefix("\(field):") }) {
        sum += try #require(Int(line.split(separator: " ")[1])) << 10
      }
    }
    return sum
  }

  /// Tests that look at memory of the process, one at a time.
  @Suite(.serialized) struct MappedMemoryTests {
    static let limit = 4 << 20

    /// A table of four times the limit, whose file the page cache holds whole, or not at all.
    @Test(arguments: [true, false], [1_024, 1_000]) func theLimitHolds(
      isCached: Bool, dim: Int
    ) throws {
      let pair = try MappedPair(rows: 4 * Self.limit / dim / 4, dim: dim)
      if !isCached { try dropFromCache(pair.path) }
      let table = try pair.map(Self.limit)
      for seed in (0..<20 as Range<UInt64>).inDebug(every: 4) {
        let ids = pair.ids(400, seed: seed)
        #expect(try table.prefetch(ids) > 0)
        let resident = try mapped(pair.path, "Rss")
        #expect(resident > 0 && resident <= Self.limit)
        #expect(try embed(table, ids) == embed(pair.inMemory, ids))
        #expect(try mapped(pair.path, "Rss") <= Self.limit)
        _ = try pool(table, ids, of: 40, threads: 3)
        #expect(try mapped(pair.path, "Rss") <= Self.limit)
      }
      // Calls on all rows, of which a quarter has room.
      let all = (0..<Int64(pair.rows)).map { $0 }
      let fitting = try table.prefetch(all)
      #expect(fitting > 0 && fitting <= Self.limit / (dim * 4))
      #expect(try embed(table, all, threads: 3) == embed(pair.inMemory, all))
      #expect(try mapped(pair.path, "Rss") <= Self.limit)
      _ = try table.decoded()
      #expect(try mapped(pair.path, "Rss") <= Self.limit)
      // Without a limit it is otherwise.
      let free = try pair.map()
      _ = try embed(free, all)
      #expect(try mapped(pair.path, "Rss") > 3 * Self.limit)
    }

    /// What was prefetched is in memory: the call that reads it waits for no disk.
    @Test func prefetchedRowsAreFound() throws {
      let pair = try MappedPair(rows: 20_000, dim: 256)
      let ids = pair.ids(500)
      for stage in [PrefetchStage.finished, .started] {
        try dropFromCache(pair.path)
        let table = try pair.map()
        #expect(try mapped(pair.path, "Rss") == 0)
        #expect(try table.prefetch(ids + ids, until: stage) == 1_000)
        if stage == .finished {
          let resident = try mapped(pair.path, "Rss")
          #expect(resident >= 490 * 1_024)
          let before = majorFaults()
          _ = try embed(table, ids)
          #expect(majorFaults() == before)
        }
        #expect(try embed(table, ids) == embed(pair.inMemory, ids))
      }
    }

    /// Two processes that map one file share its pages: each has half of them.
    @Test func processesShareTheFilesPages() throws {
      let pair = try MappedPair(rows: 8_000, dim: 256)
      let table = try pair.map()
      let all = (0..<Int64(pair.rows)).map { $0 }
      try table.prefetch(all)
      let alone = try mapped(pair.path, "Pss")
      #expect(alone >= 8_000 * 1_024)
      let other = Process()
      other.executableURL = probe("MappedProbe")
      other.arguments = ["hold", pair.path]
      let (output, input) = (Pipe(), Pipe())
      (other.standardOutput, other.standardInput) = (output, input)
      try other.run()
      // It says when it has read all rows, and waits.
      let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
      #expect(line == "held\n")
      let shared = try mapped(pair.path, "Pss")
      let its = try mapped(pair.path, "Pss", process: "\(other.processIdentifier)")
      try input.fileHandleForWriting.close()
      other.waitUntilExit()
      #expect(other.terminationStatus == 0)
      #expect(abs(2 * shared - alone) < alone / 20, "alone \(alone), shared \(shared)")
      #expect(abs(its - shared) < alone / 20, "mine \(shared), the other's \(its)")
    }
  }

  /// An executable beside the tests.
  func probe(_ name: String) -> URL {
    URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: name)
  }

  /// Has the page cache forget a file.
  func dropFromCache(_ path: String) throws {
    let file = try #require(FileHandle(forUpdatingAtPath: path))
    try file.synchronize()
    #expect(posix_fadvise(file.fileDescriptor, 0, 0, POSIX_FADV_DONTNEED) == 0)
    try file.close()
  }

  /// Page faults of this thread that waited for a disk.
  private func majorFaults() -> Int {
    var usage = rusage()
    #expect(unsafe getrusage(1, &usage) == 0)
    return usage.ru_majflt
  }
#endif
