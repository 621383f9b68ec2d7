// The C loops that the library is measured against must compute the same thing: held bit for bit
// against plain Swift loops, over dims around the vector lengths and memory off its alignment.

import CReferenceLoops
import Foundation
import TestSupport
import Testing

struct ReferenceLoopTests {
  struct Shape: Sendable, CustomTestStringConvertible {
    var batch: Int
    var context: Int
    var dim: Int
    var testDescription: String { "B\(batch)_T\(context)_D\(dim)" }
  }

  static let shapes: [Shape] = [1, 2, 15, 16, 17, 31, 33, 47, 64, 100, 257, 768, 2_100].flatMap {
    dim in
    [(1, 1), (1, 7), (3, 1), (2, 5), (8, 4), (5, 23)].map {
      Shape(batch: $0.0, context: $0.1, dim: dim)
    }
  }

  /// Floats that start `offset` floats past an alignment of 64 bytes, with a guard on both sides.
  @safe final class Floats {
    let count: Int
    let start: UnsafeMutablePointer<Float>
    private let memory: UnsafeMutableRawPointer
    private static let guardValue: Float = -12_345

    init(_ count: Int, offset: Int, fill: (Int) -> Float = { _ in guardValue }) {
      self.count = count
      unsafe memory = .allocate(byteCount: 4 * (count + 64), alignment: 64)
      let all = unsafe memory.bindMemory(to: Float.self, capacity: count + 64)
      unsafe all.initialize(repeating: Self.guardValue, count: count + 64)
      unsafe start = all + 16 + offset
      for i in 0..<count {
        unsafe start[i] = fill(i)
      }
    }

    deinit { unsafe memory.deallocate() }

    var values: [UInt32] { (0..<count).map { unsafe start[$0].bitPattern } }

    var guardsHold: Bool {
      unsafe start[-1] == Self.guardValue && start[count] == Self.guardValue
    }
  }

  /// A fixed, rough sequence: fractions that do not add exactly.
  static func value(_ i: Int) -> Float {
    Float(UInt32(truncatingIfNeeded: i &* 2_654_435_761) >> 8) / 1_000_003 - 8
  }

  @Test(arguments: shapes.inDebug(every: 3), [0, 1, 7])
  func embeddingLoopsEqualThePlainLoop(_ shape: Shape, offset: Int) throws {
    let vocabulary = 19
    let tokens = Floats(vocabulary * shape.dim, offset: offset, fill: Self.value)
    let positions = Floats(shape.context * shape.dim, offset: offset) { Self.value($0 + 999) }
    let ids = (0..<shape.batch * shape.context).map { Int32(($0 * 7 + 3) % vocabulary) }
    var expected: [UInt32] = []
    for b in 0..<shape.batch {
      for t in 0..<shape.context {
        let id = Int(ids[b * shape.context + t])
        for d in 0..<shape.dim {
          let token = unsafe tokens.start[id * shape.dim + d]
          let position = unsafe positions.start[t * shape.dim + d]
          expected.append((token + position).bitPattern)
        }
      }
    }

    unsafe ids.withUnsafeBufferPointer { ids in
      func outcome(_ run: (UnsafePointer<crl_embedding>) -> Void) -> Floats {
        let output = Floats(expected.count, offset: offset)
        var work = unsafe crl_embedding(
          tokens: tokens.start, positions: positions.start, ids: ids.baseAddress,
          output: output.start, batch: shape.batch, context: shape.context, dim: shape.dim)
        unsafe run(&work)
        return output
      }
      let plain = unsafe outcome { unsafe crl_embed_plain($0) }
      #expect(plain.values == expected)
      #expect(plain.guardsHold)

      let streaming = unsafe outcome { unsafe crl_embed_streaming($0, 0, shape.context) }
      #expect(streaming.values == expected)
      #expect(streaming.guardsHold)

      for threads in 1...3 {
        let team = unsafe crl_team_create(threads)
        defer { unsafe crl_team_destroy(team) }
        let split = unsafe outcome { unsafe crl_embed_streaming_team(team, $0) }
        #expect(split.values == expected, "\(threads) threads")
        #expect(split.guardsHold)
      }
    }
  }

  @Test(arguments: [0, 1, 15, 16, 17, 63, 64, 65, 129, 1_000, 4_099], [0, 1, 5])
  func copiesAreWhole(_ count: Int, offset: Int) {
    let source = Floats(count, offset: 3, fill: Self.value)
    let team = unsafe crl_team_create(3)
    defer { unsafe crl_team_destroy(team) }
    let copies: [(UnsafeMutablePointer<Float>) -> Void] = unsafe [
      { unsafe crl_copy_streaming($0, source.start, count) },
      { unsafe crl_copy_memcpy($0, source.start, count) },
      { unsafe crl_copy_streaming_team(team, $0, source.start, count) },
      { unsafe crl_copy_memcpy_team(team, $0, source.start, count) },
    ]
    unsafe copies.forEach { copy in
      let destination = Floats(count, offset: offset)
      unsafe copy(destination.start)
      #expect(destination.values == source.values)
      #expect(destination.guardsHold)
    }
  }

  @Test(arguments: shapes.inDebug(every: 3), [0, 1, 7])
  func backwardLoopsEqualThePlainLoops(_ shape: Shape, offset: Int) {
    let (tokens, dim, rows) = (shape.batch * shape.context, shape.dim, 19)
    let gradient = Floats(tokens * dim, offset: offset, fill: Self.value)
    let ids = (0..<tokens).map { Int32(($0 * 7 + 3) % rows) }
    let order = ids.indices.sorted { (ids[$0], $0) < (ids[$1], $1) }.map { Int32($0) }
    let copied = order.flatMap { token in
      (0..<dim).map { d in unsafe gradient.start[Int(token) * dim + d].bitPattern }
    }
    var sums = (0..<rows * dim).map { Self.value($0 + 999) }
    for n in 0..<tokens {
      for d in 0..<dim { unsafe sums[Int(ids[n]) * dim + d] += gradient.start[n * dim + d] }
    }
    for threads in 1...3 {
      let team = unsafe crl_team_create(threads)
      defer { unsafe crl_team_destroy(team) }
      let output = Floats(tokens * dim, offset: offset)
      let table = Floats(rows * dim, offset: offset) { Self.value($0 + 999) }
      let sorted = Floats(rows * dim, offset: offset) { Self.value($0 + 999) }
      // However far ahead they prefetch, and into which cache.
      crl_set_prefetch([0, 1, 40][threads - 1], Int32(threads % 2))
      defer { crl_set_prefetch(0, 0) }
      unsafe ids.withUnsafeBufferPointer { ids in
        unsafe order.withUnsafeBufferPointer { order in
          var work = unsafe crl_backward(
            gradient: gradient.start, order: order.baseAddress, ids: ids.baseAddress,
            output: output.start, tokens: tokens, dim: dim, rows: rows)
          unsafe crl_gather_sorted_team(team, &work)
          unsafe work.output = table.start
          unsafe crl_index_add_team(team, &work)
          unsafe work.output = sorted.start
          unsafe crl_sorted_add_team(team, &work)
        }
      }
      #expect(output.values == copied && output.guardsHold, "\(threads) threads")
      for table in [table, sorted] {
        #expect(table.values == sums.map(\.bitPattern) && table.guardsHold, "\(threads) threads")
      }
    }
  }

  @Test func teamRunsEveryPartOnceAndWakesFromSleep() throws {
    let threads = 4
    let team = unsafe crl_team_create(threads)
    try #require(unsafe team != nil)
    defer { unsafe crl_team_destroy(team) }
    var counts = [Int](repeating: 0, count: threads)
    let rounds = 2_000
    for round in 0..<rounds {
      unsafe counts.withUnsafeMutableBufferPointer { counts in
        unsafe crl_team_run(
          team,
          { context, part in
            guard let context = unsafe context else { return }
            unsafe context.assumingMemoryBound(to: Int.self)[part] += 1
          }, counts.baseAddress)
      }
      // Long enough now and then for the workers to fall asleep.
      if round % 500 == 0 {
        Thread.sleep(forTimeInterval: 0.005)
      }
    }
    #expect(counts == [Int](repeating: rounds, count: threads))
    #expect(unsafe crl_team_create(0) == nil)
  }
}
