// Token files: what is written is read back, damage is a typed error, and a file far larger than
// memory costs none.

import EmbedData
import Foundation
import TestSupport
import Testing

@Suite struct TokenFileTests {
  private func write(_ ids: [Int32], _ width: TokenWidth, _ path: String) throws {
    let writer = try TokenFileWriter(path: path, width: width)
    try writer.append(ids.span)
    try writer.finish()
  }

  private func read(_ file: TokenFile, _ range: Range<Int>) throws -> [Int32] {
    var ids = [Int32](repeating: -7, count: range.count)
    var span = ids.mutableSpan
    try file.read(range, into: &span)
    return ids
  }

  @Test(arguments: TokenWidth.allCases, [1, 2, 1000, 70_000, 150_001])
  func whatIsWrittenIsRead(width: TokenWidth, count: Int) throws {
    var generator = SeededGenerator(seed: UInt64(count))
    let limit = Int32(width.largestID)
    var ids = (0..<count).map { _ in Int32.random(in: 0...limit, using: &generator) }
    ids[0] = 0
    ids[count - 1] = limit
    let folder = try TemporaryFolder()
    let path = folder.url.path + "/ids.bin"
    let writer = try TokenFileWriter(path: path, width: width)
    // In uneven parts, over the edges of the writer's buffer.
    var rest = ids[...]
    while !rest.isEmpty {
      let part = Array(rest.prefix(Int.random(in: 0...40_000, using: &generator)))
      try writer.append(part.span)
      rest = rest.dropFirst(part.count)
    }
    #expect(writer.count == count)
    // Until it is whole it has a neighbour's name.
    let unfinished = try folder.contents
    #expect(unfinished.count == 1 && unfinished[0].hasPrefix(".embedkernel-"))
    try writer.finish()
    #expect(try folder.contents == ["ids.bin"])
    let file = try TokenFile(path: path, width: width)
    #expect(file.count == count)
    #expect(try read(file, 0..<count) == ids)
    #expect(try read(file, count / 3..<count / 2) == Array(ids[count / 3..<count / 2]))
    try file.validate(vocabularySize: Int(limit) + 1)
    #expect(throws: DataError.self) { try file.validate(vocabularySize: Int(limit)) }
  }

  @Test func bytesAreLittleEndian() throws {
    let folder = try TemporaryFolder()
    let path = folder.url.path + "/ids.bin"
    try write([1, 0x1234], .uint16, path)
    #expect(try bytes(of: path) == [1, 0, 0x34, 0x12])
    try write([0x0102_0304], .uint32, path)
    #expect(try bytes(of: path) == [4, 3, 2, 1])
  }

  @Test func widthFollowsTheVocabulary() {
    #expect(TokenWidth(vocabularySize: 65_536) == .uint16)
    #expect(TokenWidth(vocabularySize: 65_537) == .uint32)
  }

  @Test func unfitIDsAreNamedBeforeAnyIsWritten() throws {
    let folder = try TemporaryFolder()
    let path = folder.url.path + "/ids.bin"
    let writer = try TokenFileWriter(path: path, width: .uint16)
    try writer.append([1, 2, 3].span)
    for id in [Int32(65_536), -1, .max, .min] {
      let ids = [4, 5, id]
      #expect(
        throws: DataError.tokenTooLarge(value: Int64(id), position: 5, limit: 65_535)
      ) { try writer.append(ids.span) }
    }
    try writer.finish()
    #expect(try bytes(of: path) == [1, 0, 2, 0, 3, 0])
    #expect(throws: DataError.file(.system(operation: "write", path: path, code: EBADF))) {
      try writer.finish()
    }
  }

  @Test func anUnfinishedWriterLeavesNothing() throws {
    let folder = try TemporaryFolder()
    do {
      let writer = try TokenFileWriter(path: folder.url.path + "/ids.bin", width: .uint16)
      try writer.append([1].span)
    }
    #expect(try folder.contents == [])
    let inside = folder.url.path + "/none/ids.bin"
    #expect(
      throws: DataError.file(
        .system(
          operation: "create", path: inside, code: ENOENT))
    ) { _ = try TokenFileWriter(path: inside, width: .uint16) }
  }

  @Test func devicesAreWrittenInPlace() throws {
    try write([1, 2], .uint16, "/dev/null")
    var status = stat()
    #expect(unsafe stat("/dev/null", &status) == 0)
    #expect(status.st_mode & S_IFMT == S_IFCHR)
  }

  @Test func damagedFilesAreRefused() throws {
    let folder = try TemporaryFolder()
    let odd = try folder.file("odd.bin", [1, 2, 3])
    #expect(throws: DataError.partialToken(path: odd, bytes: 3, width: 2)) {
      _ = try TokenFile(path: odd, width: .uint16)
    }
    let six = try folder.file("six.bin", [1, 2, 3, 4, 5, 6])
    #expect(throws: DataError.partialToken(path: six, bytes: 6, width: 4)) {
      _ = try TokenFile(path: six, width: .uint32)
    }
    let empty = try folder.file("empty.bin", [])
    #expect(throws: DataError.emptyFile(path: empty)) {
      _ = try TokenFile(path: empty, width: .uint16)
    }
    let none = folder.url.path + "/none.bin"
    #expect(throws: DataError.file(.system(operation: "open", path: none, code: ENOENT))) {
      _ = try TokenFile(path: none, width: .uint16)
    }
    #expect(throws: DataError.file(.notRegularFile(path: folder.url.path))) {
      _ = try TokenFile(path: folder.url.path, width: .uint16)
    }
  }

  @Test func badRangesAndIDsAreRefused() throws {
    let folder = try TemporaryFolder()
    let path = try folder.file("ids.bin", [1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 3, 0, 0, 0])
    let file = try TokenFile(path: path, width: .uint32)
    #expect(
      throws: DataError.tokenTooLarge(
        value: 0xFFFF_FFFF, position: 1, limit: Int64(Int32.max))
    ) { _ = try read(file, 0..<3) }
    #expect(try read(file, 2..<3) == [3])
    #expect(try read(file, 3..<3) == [])
    for range in [-1..<2, 0..<4, 4..<5, Int.max - 1..<Int.max] {
      #expect(
        throws: DataError.rangeOutOfBounds(
          lower: range.lowerBound, upper: range.upperBound, count: 3)
      ) {
        var ids: [Int32] = [0]
        var span = ids.mutableSpan
        try file.read(range, into: &span)
      }
    }
    #expect(throws: DataError.bufferTooSmall(name: "output", count: 1, needed: 2)) {
      var ids: [Int32] = [0]
      var span = ids.mutableSpan
      try file.read(1..<3, into: &span)
    }
    file.prefetch(-5..<100)
    file.advise(.random)
  }

  #if os(Linux)
    /// 4 GiB of zeros that occupy no disk, read to the end in windows.
    @Test func aFileLargerThanMemoryCostsNone() throws {
      let folder = try TemporaryFolder()
      let path = try folder.file("sparse.bin", [])
      #expect(unsafe truncate(path, 4 << 30) == 0)
      let file = try TokenFile(path: path, width: .uint16)
      let loader = try WindowLoader(
        file: file, context: 1024, stride: 64 << 10, batchSize: 64,
        order: .shuffled(seed: 1))
      var inputs = [Int32](repeating: 1, count: 64 * 1024)
      var targets = inputs
      let before = try privateBytes()
      for batch in 0..<loader.batchCount {
        var inputSpan = inputs.mutableSpan
        var targetSpan = targets.mutableSpan
        try loader.fill(batch: batch, inputs: &inputSpan, targets: &targetSpan)
      }
      // The pages of the file are the system's to take back, so they are not counted. Reading the
      // file into memory would add 4 GiB, its windows alone 64 MiB; other tests run meanwhile.
      #expect(try privateBytes() - before < 1 << 30)
      #expect(inputs.allSatisfy { $0 == 0 })
      #expect(loader.windowCount == 32_768)
    }

    /// Memory of this process that no file backs.
    private func privateBytes() throws -> Int {
      let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
      let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("RssAnon:") })
      return try #require(Int(line.split(separator: " ").dropFirst().first ?? "")) << 10
    }
  #endif
}
