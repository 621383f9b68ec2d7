// Windows and batches against a plain list of them, from memory and from files, in order and
// shuffled; resuming; and settings and buffers that don't fit.

import EmbedData
import Foundation
import TestSupport
import Testing

@Suite struct WindowLoaderTests {
  /// A loader's settings.
  struct Shape: Sendable, CustomTestStringConvertible {
    var tokens: Int
    var context: Int
    var stride: Int
    var batchSize: Int
    var testDescription: String {
      "\(tokens) tokens, T \(context), stride \(stride), B \(batchSize)"
    }

    static let all: [Shape] = [0, 1, 2, 4, 5, 9, 64, 101].flatMap { tokens in
      [(1, 1), (4, 4), (4, 1), (3, 5), (8, 100), (100, 1)].flatMap { context, stride in
        [1, 2, 8].map {
          Shape(tokens: tokens, context: context, stride: stride, batchSize: $0)
        }
      }
    }
  }

  /// Every window as (inputs, targets), by walking the tokens.
  private func windows(_ tokens: [Int32], _ shape: Shape) -> [[Int32]] {
    var windows: [[Int32]] = []
    var start = 0
    while start + shape.context + 1 <= tokens.count {
      windows.append(Array(tokens[start...start + shape.context]))
      start += shape.stride
    }
    return windows
  }

  private func loader(
    _ tokens: [Int32], _ shape: Shape, _ last: LastBatch, _ order: WindowOrder
  ) throws -> WindowLoader {
    try WindowLoader(
      tokens: tokens, context: shape.context, stride: shape.stride, batchSize: shape.batchSize,
      lastBatch: last, order: order)
  }

  @Test(arguments: Shape.all, [LastBatch.dropped, .kept])
  func sequentialBatchesAreTheWindows(shape: Shape, last: LastBatch) throws {
    let tokens = (0..<Int32(shape.tokens)).map { $0 * 3 }
    let expected = windows(tokens, shape)
    let loader = try loader(tokens, shape, last, .sequential)
    #expect(loader.windowCount == expected.count)
    var seen: [[Int32]] = []
    for result in loader.batches() {
      let batch = try result.get()
      #expect(batch.inputs.count == batch.rows * shape.context)
      for row in 0..<batch.rows {
        let range = row * shape.context..<(row + 1) * shape.context
        #expect(Array(batch.inputs[range].dropFirst()) == Array(batch.targets[range].dropLast()))
        seen.append(Array(batch.inputs[range]) + [batch.targets[range.upperBound - 1]])
      }
    }
    let kept = last == .kept ? expected.count : expected.count - expected.count % shape.batchSize
    #expect(seen == Array(expected.prefix(kept)))
    #expect(loader.batchCount == (kept + shape.batchSize - 1) / shape.batchSize)
  }

  @Test(arguments: Shape.all)
  func shufflingVisitsEachWindowOnce(shape: Shape) throws {
    let tokens = (0..<Int32(shape.tokens)).map { $0 }
    let loader = try loader(tokens, shape, .kept, .shuffled(seed: 9))
    var firsts: [Int32] = []
    for batch in 0..<loader.batchCount {
      let values = try loader.batch(batch)
      for row in 0..<values.rows {
        let first = values.inputs[row * shape.context]
        #expect(loader.start(ofRow: row, inBatch: batch) == Int(first))
        firsts.append(first)
      }
    }
    #expect(firsts.sorted() == windows(tokens, shape).map { $0[0] })
  }

  @Test(arguments: TokenWidth.allCases, [.sequential, .shuffled(seed: 3)] as [WindowOrder])
  func filesAndMemoryAgree(width: TokenWidth, order: WindowOrder) throws {
    var generator = SeededGenerator(seed: 4)
    let tokens = (0..<5000).map { _ in Int32.random(in: 0...50_256, using: &generator) }
    let folder = try TemporaryFolder()
    let writer = try TokenFileWriter(path: folder.url.path + "/ids.bin", width: width)
    try writer.append(tokens.span)
    try writer.finish()
    let file = try TokenFile(path: folder.url.path + "/ids.bin", width: width)
    let shape = Shape(tokens: 5000, context: 33, stride: 7, batchSize: 6)
    let memory = try loader(tokens, shape, .kept, order)
    let mapped = try WindowLoader(
      file: file, context: 33, stride: 7, batchSize: 6, lastBatch: .kept, order: order)
    #expect(memory.batchCount == mapped.batchCount)
    for batch in 0..<memory.batchCount {
      mapped.prefetch(batch: batch + 1)
      #expect(try memory.batch(batch) == mapped.batch(batch))
    }
  }

  @Test func ordersAreReproducible() throws {
    let tokens = (0..<1000).map { Int32($0) }
    let shape = Shape(tokens: 1000, context: 4, stride: 4, batchSize: 8)
    func inputs(_ order: WindowOrder) throws -> [[Int32]] {
      let loader = try loader(tokens, shape, .dropped, order)
      return try (0..<loader.batchCount).map { try loader.batch($0).inputs }
    }
    #expect(try inputs(.shuffled(seed: 1)) == inputs(.shuffled(seed: 1, epoch: 0)))
    #expect(try inputs(.shuffled(seed: 1)) != inputs(.shuffled(seed: 2)))
    #expect(try inputs(.shuffled(seed: 1)) != inputs(.shuffled(seed: 1, epoch: 1)))
    #expect(try inputs(.shuffled(seed: 1)) != inputs(.sequential))
  }

  @Test func resumingGivesTheRest() throws {
    let tokens = (0..<1000).map { Int32($0) }
    let shape = Shape(tokens: 1000, context: 4, stride: 2, batchSize: 8)
    let loader = try loader(tokens, shape, .kept, .shuffled(seed: 1))
    let all = try loader.batches().map { try $0.get() }
    #expect(try loader.batches(from: 17).map { try $0.get() } == Array(all[17...]))
    #expect(all.map(\.index) == Array(0..<loader.batchCount))
    #expect(Array(loader.batches(from: loader.batchCount)).isEmpty)
    #expect(Array(loader.batches(from: .max)).isEmpty)
    #expect(Array(loader.batches(from: .min)).count == all.count)
  }

  @Test(
    arguments: [
      (0, 1, 1, "context is 0; it must be at least 1"),
      (-4, 1, 1, "context is -4; it must be at least 1"),
      (4, 0, 1, "stride is 0; it must be at least 1"),
      (4, 1, 0, "batchSize is 0; it must be at least 1"),
      (
        .max, 1, 2,
        "batchSize is 2; it must be at most 1, so that its rows of 9223372036854775807 can be counted"
      ),
    ] as [(Int, Int, Int, String)])
  func settingsAreChecked(context: Int, stride: Int, batchSize: Int, message: String) {
    let error = #expect(throws: DataError.self) {
      try WindowLoader(tokens: [1, 2, 3], context: context, stride: stride, batchSize: batchSize)
    }
    #expect(error?.description == message)
  }

  @Test func hugeSettingsHoldNoWindows() throws {
    let loader = try WindowLoader(tokens: [1, 2, 3], context: .max, stride: .max, batchSize: 1)
    #expect(loader.windowCount == 0)
    #expect(loader.batchCount == 0)
    let one = try WindowLoader(
      tokens: [1, 2, 3], context: 1, stride: .max, batchSize: .max, lastBatch: .kept)
    #expect(try one.batch(0).targets == [2])
  }

  @Test(arguments: [(31, 32, "inputs", 31), (32, 0, "targets", 0)])
  func smallBuffersAreRefusedUntouched(
    inputs: Int, targets: Int, name: String, count: Int
  ) throws {
    let loader = try WindowLoader(tokens: Array(0..<100), context: 4, batchSize: 8)
    var input = [Int32](repeating: -1, count: inputs)
    var target = [Int32](repeating: -1, count: targets)
    #expect(throws: DataError.bufferTooSmall(name: name, count: count, needed: 32)) {
      var inputSpan = input.mutableSpan
      var targetSpan = target.mutableSpan
      try loader.fill(batch: 0, inputs: &inputSpan, targets: &targetSpan)
    }
    #expect(input.allSatisfy { $0 == -1 } && target.allSatisfy { $0 == -1 })
  }

  @Test func buffersMayNotOverlap() throws {
    let loader = try WindowLoader(tokens: Array(0..<100), context: 4, batchSize: 2)
    var memory = [Int32](repeating: -1, count: 20)
    let fault = DataError.overlappingBuffers(first: "inputs", second: "targets")
    for start in [0, 1, 7] {
      unsafe memory.withUnsafeMutableBufferPointer { buffer in
        _ = #expect(throws: fault) {
          try unsafe loader.fill(
            batch: 0, inputs: UnsafeMutableBufferPointer(rebasing: buffer[0..<8]),
            targets: UnsafeMutableBufferPointer(rebasing: buffer[start..<start + 8]))
        }
      }
    }
    #expect(memory.allSatisfy { $0 == -1 })
    try unsafe memory.withUnsafeMutableBufferPointer { buffer in
      _ = try unsafe loader.fill(
        batch: 1, inputs: UnsafeMutableBufferPointer(rebasing: buffer[8..<16]),
        targets: UnsafeMutableBufferPointer(rebasing: buffer[0..<8]))
    }
    #expect(
      memory == [9, 10, 11, 12, 13, 14, 15, 16, 8, 9, 10, 11, 12, 13, 14, 15, -1, -1, -1, -1])
  }

  @Test func biggerBuffersKeepTheirEnd() throws {
    let loader = try WindowLoader(tokens: [5, 6, 7], context: 2, batchSize: 1)
    var input: [Int32] = [-1, -1, -1]
    var target: [Int32] = [-1, -1, -1]
    var inputSpan = input.mutableSpan
    var targetSpan = target.mutableSpan
    #expect(try loader.fill(batch: 0, inputs: &inputSpan, targets: &targetSpan) == 1)
    #expect(input == [5, 6, -1])
    #expect(target == [6, 7, -1])
  }

  @Test(arguments: [-1, 3, .max, .min])
  func batchesOutsideAreRefused(batch: Int) throws {
    let loader = try WindowLoader(tokens: Array(0..<100), context: 4, batchSize: 8)
    #expect(loader.batchCount == 3)
    #expect(throws: DataError.batchOutOfRange(index: batch, count: 3)) {
      try loader.batch(batch)
    }
    #expect(loader.rows(inBatch: batch) == 0)
    #expect(loader.start(ofRow: 0, inBatch: batch) == nil)
    loader.prefetch(batch: batch)
  }

  @Test func idsTooLargeAreNamedBeforeAnythingIsWritten() throws {
    let folder = try TemporaryFolder()
    var stored = [UInt8](repeating: 0, count: 40)
    stored[4 * 7 + 3] = 0x80
    let file = try TokenFile(path: try folder.file("ids.bin", stored), width: .uint32)
    let loader = try WindowLoader(file: file, context: 2, batchSize: 2)
    #expect(try loader.batch(0).inputs == [0, 0, 0, 0])
    let fault = DataError.tokenTooLarge(value: 1 << 31, position: 7, limit: Int64(Int32.max))
    var input: [Int32] = [-1, -1, -1, -1]
    var target = input
    #expect(throws: fault) {
      var inputSpan = input.mutableSpan
      var targetSpan = target.mutableSpan
      try loader.fill(batch: 1, inputs: &inputSpan, targets: &targetSpan)
    }
    #expect(input == [-1, -1, -1, -1] && target == input)
    let last = Array(loader.batches(from: 1)).last
    #expect(last == .failure(fault))
  }
}
