// What is wrong with a call on bags is told by value and place, and nothing is written.

import EmbedKernel
import EmbedRows
import Testing

@Suite struct BagErrorTests {
  private let table: EmbeddingTable<Float>

  init() throws { table = try EmbeddingTable<Float>(rows: 5, dim: 3) }

  /// The error of a call that must write nothing.
  private func error(
    ids: [Int] = [0, 1, 2, 3], offsets: [Int] = [0, 2], last: LastOffset = .omitted,
    weights: [Float]? = nil, pool: BagPool = .sum, options: BagOptions = BagOptions(),
    outputCount: Int = 6, threads: Int? = nil
  ) -> EmbedError? {
    var output = [Float](repeating: 9, count: outputCount)
    do throws(EmbedError) {
      try Kernels(threads: threads).bag(
        ids: ids, in: .offsets(offsets, last: last), weights: weights, tokens: table, pool: pool,
        options: options, into: &output)
      return nil
    } catch {
      #expect(output.allSatisfy { $0 == 9 })
      return error
    }
  }

  @Test func idsOutsideTheTable() {
    for id in [-1, 5, Int.max, Int.min] {
      #expect(
        error(ids: [0, 1, 2, id])
          == .tokenOutOfRange(id: Int64(id), batchRow: 1, position: 1, vocabulary: 5))
    }
    // Empty bags before it do not hide its bag.
    #expect(
      error(ids: [7], offsets: [0, 0, 0], outputCount: 9)
        == .tokenOutOfRange(id: 7, batchRow: 2, position: 0, vocabulary: 5))
  }

  /// So many that threads share them, of which the last or the first one alone is outside.
  @Test(arguments: [1, 3]) func oneIDOutsideAmongMany(threads: Int) {
    for place in [0, 39_999] {
      var ids = [Int](repeating: 4, count: 40_000)
      ids[place] = 5
      let (bag, position) = place == 0 ? (0, 0) : (1, 39_997)
      #expect(
        error(ids: ids, threads: threads)
          == .tokenOutOfRange(id: 5, batchRow: bag, position: position, vocabulary: 5))
    }
    #expect(error(ids: [Int](repeating: 4, count: 40_000), threads: threads) == nil)
  }

  @Test func offsets() {
    #expect(
      error(offsets: [1, 2])
        == .invalidSize(argument: "offset 0", value: 1, expected: "0, where the ids start"))
    #expect(
      error(offsets: [0, 3, 2], outputCount: 9)
        == .invalidSize(argument: "offset 2", value: 2, expected: "3 or more, the offset before"))
    #expect(
      error(offsets: [0, 5])
        == .invalidSize(argument: "offset 1", value: 5, expected: "at most 4, the number of ids"))
    #expect(
      error(offsets: [0, -1])
        == .invalidSize(argument: "offset 1", value: -1, expected: "0 or more, the offset before"))
    #expect(
      error(offsets: [0, 2, 3], last: .included)
        == .invalidSize(
          argument: "offset 2", value: 3, expected: "4, the number of ids, as the last offset"))
    #expect(
      error(offsets: [], last: .included, outputCount: 0)
        == .wrongElementCount(argument: "offsets", expected: 1, shape: [1], actual: 0))
    #expect(
      error(offsets: [], outputCount: 0)
        == .wrongElementCount(argument: "ids", expected: 0, shape: [0], actual: 4))
    #expect(error(ids: [], offsets: [], outputCount: 0) == nil)
    #expect(error(ids: [], offsets: [0], last: .included, outputCount: 0) == nil)
  }

  @Test func lengthsAndRectangles() {
    let ids = [0, 1, 2, 3]
    var output = [Float](repeating: 9, count: 6)
    func run(_ bags: borrowing Bags) -> EmbedError? {
      do throws(EmbedError) {
        try Kernels.auto.bag(ids: ids, in: bags, tokens: table, pool: .sum, into: &output)
        return nil
      } catch {
        return error
      }
    }
    let (short, long, negative, huge) = ([1, 2], [2, 3], [5, -1], [Int.max, Int.max])
    #expect(
      run(.lengths(short))
        == .wrongElementCount(argument: "ids", expected: 3, shape: [3], actual: 4))
    #expect(
      run(.lengths(long))
        == .invalidSize(
          argument: "length 1", value: 3, expected: "0...2, as 2 of 4 ids are in the bags before"))
    #expect(
      run(.lengths(negative))
        == .invalidSize(
          argument: "length 0", value: 5, expected: "0...4, as 0 of 4 ids are in the bags before"))
    #expect(run(.lengths(huge)) != nil)
    #expect(
      run(.rectangle(batch: 2, bag: 3))
        == .wrongElementCount(argument: "ids", expected: 6, shape: [2, 3], actual: 4))
    #expect(
      run(.rectangle(batch: -2, bag: -2))
        == .invalidSize(argument: "batch", value: -2, expected: "0 or more"))
    #expect(run(.rectangle(batch: Int.max, bag: 2)) != nil)
    #expect(output.allSatisfy { $0 == 9 })
  }

  /// Of no bags a rectangle's length says nothing.
  @Test(arguments: [1, 2, 7]) func noBagsOfAnyLength(_ threads: Int) throws {
    var output = [Float](repeating: 9, count: 0)
    var gradient = [Float](repeating: 9, count: 15)
    var workspace = try BagWorkspace()
    for length in [0, 5, Int.max] {
      for pool in BagPool.allCases {
        try Kernels(threads: threads).bag(
          ids: [Int](), in: .rectangle(batch: 0, bag: length), tokens: table, pool: pool,
          into: &output)
        try Kernels(threads: threads).bagBackward(
          [Float](), ids: [Int](), in: .rectangle(batch: 0, bag: length),
          winners: pool == .max ? [Int32]() : nil, rows: 5, dim: 3, pool: pool,
          tokens: .dense(&gradient, .overwrite), workspace: &workspace)
        #expect(gradient.allSatisfy { $0 == 0 })
      }
    }
  }

  @Test func otherArguments() {
    #expect(
      error(weights: [1, 2, 3])
        == .wrongElementCount(argument: "weights", expected: 4, shape: [4], actual: 3))
    for pool in [BagPool.mean, .max] {
      #expect(
        error(weights: [1, 2, 3, 4], pool: pool)
          == .unsupported(
            argument: "weights of a \(pool.rawValue)", value: "4 weights",
            expected: "none; only a sum is weighted"))
    }
    #expect(
      error(outputCount: 5)
        == .wrongElementCount(argument: "output", expected: 6, shape: [2, 3], actual: 5))
    for padding in [-1, 5] {
      #expect(
        error(options: BagOptions(paddingID: padding))
          == .invalidSize(argument: "padding id", value: padding, expected: "an id of 0...4"))
    }
    #expect(
      error(threads: 0) == .invalidSize(argument: "threads", value: 0, expected: "1 or more"))
  }

  @Test func memoryIsNotShared() {
    let ids: [Int32] = [0, 1]
    var output = unsafe UnsafeMutableBufferPointer(rebasing: table.unsafeBuffer[0..<3])
    var found: EmbedError?
    do throws(EmbedError) {
      try unsafe Kernels.auto.bag(
        ids: ids, in: .rectangle(batch: 1, bag: 2), tokens: table, pool: .sum, into: &output)
    } catch {
      found = error
    }
    #expect(found == .overlappingMemory(argument: "tokens"))
  }

  @Test func gradients() throws {
    let (ids, offsets, gradient) = ([0, 1, 2, 3], [0, 2], [Float](repeating: 1, count: 6))
    var target = [Float](repeating: 9, count: 15)
    var workspace = try BagWorkspace()
    func error(
      _ gradient: [Float], winners: [Int32]? = nil, pool: BagPool = .sum, rows: Int = 5,
      scale: Float = 1, scaling: FrequencyScaling = .none
    ) -> EmbedError? {
      do throws(EmbedError) {
        try Kernels.auto.bagBackward(
          gradient, ids: ids, in: .offsets(offsets), winners: winners, rows: rows, dim: 3,
          pool: pool, gradientScale: scale, frequencyScaling: scaling,
          tokens: .dense(&target, .overwrite), workspace: &workspace)
        return nil
      } catch {
        return error
      }
    }
    let none = [Int32](repeating: -1, count: 6)
    #expect(
      error([1, 2])
        == .wrongElementCount(argument: "output gradient", expected: 6, shape: [2, 3], actual: 2))
    #expect(error(gradient, pool: .max) != nil)
    #expect(error(gradient, winners: none) != nil)
    #expect(error(gradient, winners: none, pool: .max, scaling: .inverse) != nil)
    #expect(
      error(gradient, winners: [-1, -1, -1, 2, 2, 1], pool: .max)
        == .invalidSize(
          argument: "winner of column 2 of bag 1", value: 1,
          expected: "the index of an id of the bag, or -1"))
    #expect(error(gradient, winners: [4, -1, -1, 2, 2, 2], pool: .max) != nil)
    #expect(error(gradient, winners: [-2, -1, -1, 2, 2, 2], pool: .max) != nil)
    #expect(error(gradient, rows: 3) != nil)
    #expect(error(gradient, rows: 6) != nil)
    #expect(error(gradient, scale: .nan) != nil)
    #expect(target.allSatisfy { $0 == 9 })
    #expect(error(gradient) == nil)
  }
}
