// Faults of a backward call are thrown before anything is written, and name what is wrong.

import EmbedKernel
import Testing

@Suite struct BackwardErrorTests {
  private struct Call {
    var gradient = [Float](repeating: 1, count: 2 * 3 * 4)
    var ids: [Int32] = [0, 1, 2, 3, 4, 0]
    var shape = EmbeddingShape(vocabulary: 5, batch: 2, context: 3, dim: 4)
    var place = PositionIDs.sequential()
    var options = BackwardOptions()
    var tokens = [Float](repeating: 7, count: 5 * 4)
    var positions = [Float](repeating: 7, count: 3 * 4)
    var kernels = Kernels.auto

    /// The error of a dense call; expects that nothing was written.
    mutating func error() throws -> EmbedError? {
      var workspace = try BackwardWorkspace()
      var error: EmbedError?
      var (tokens, positions) = (tokens, positions)
      do throws(EmbedError) {
        var tokenSpan = tokens.mutableSpan
        var positionSpan = positions.mutableSpan
        try kernels.backward(
          gradient.span, ids: ids.span, shape: shape, at: place, options: options,
          tokens: .dense(&tokenSpan, .accumulate), positions: .dense(&positionSpan, .overwrite),
          workspace: &workspace)
      } catch let thrown {
        error = thrown
      }
      if error != nil {
        #expect(tokens.allSatisfy { $0 == 7 } && positions.allSatisfy { $0 == 7 })
      }
      return error
    }
  }

  @Test func badIDsAreLocated() throws {
    var call = Call()
    call.ids[4] = 5
    #expect(
      try call.error() == .tokenOutOfRange(id: 5, batchRow: 1, position: 1, vocabulary: 5))
    call.ids[4] = -2
    #expect(
      try call.error() == .tokenOutOfRange(id: -2, batchRow: 1, position: 1, vocabulary: 5))
  }

  @Test func badPositionsAreLocated() throws {
    var call = Call()
    call.place = .sequential(offset: 1)
    #expect(try call.error() == .contextTooLong(offset: 1, context: 3, maximum: 3))
    call.place = .explicit([0, 1, 2, 0, 3, 2])
    #expect(
      try call.error() == .positionOutOfRange(position: 3, batchRow: 1, index: 1, maximum: 3))
    call.options.positionOverflow = .clamp
    #expect(try call.error() == nil)
  }

  @Test func wrongShapesAreNamed() throws {
    var call = Call()
    call.gradient.removeLast()
    #expect(
      try call.error()
        == .wrongElementCount(
          argument: "output gradient", expected: 24, shape: [2, 3, 4], actual: 23))
    call = Call()
    call.ids.append(0)
    #expect(
      try call.error()
        == .wrongElementCount(argument: "ids", expected: 6, shape: [2, 3], actual: 7))
    call = Call()
    call.tokens.removeLast()
    #expect(
      try call.error()
        == .wrongElementCount(argument: "token gradient", expected: 20, shape: [5, 4], actual: 19))
    call = Call()
    call.positions.removeLast()
    #expect(
      try call.error()
        == .wrongElementCount(
          argument: "position gradient", expected: 12, shape: [3, 4], actual: 11))
    call = Call()
    call.shape.dim = 0
    #expect(
      try call.error() == .invalidSize(argument: "dim", value: 0, expected: "1 or more"))
    call = Call()
    call.shape.batch = Int.max / 2
    let error = try call.error()
    #expect(
      error == .sizeOverflow(argument: "ids", factors: [Int.max / 2, 3, 1]))
  }

  @Test func badNumbersAreNamed() throws {
    var call = Call()
    call.options.scale = .infinity
    #expect(
      try call.error()
        == .invalidValue(argument: "scale", value: .infinity, expected: "a finite number"))
    call = Call()
    call.options.gradientScale = -.infinity
    #expect(
      try call.error()
        == .invalidValue(
          argument: "gradient scale", value: -.infinity, expected: "a finite number"))
    call = Call()
    call.options.paddingID = 5
    #expect(
      try call.error()
        == .invalidSize(argument: "padding id", value: 5, expected: "an id of 0...4"))
    call = Call()
    call.kernels.threads = 0
    #expect(
      try call.error() == .invalidSize(argument: "threads", value: 0, expected: "1 or more"))
  }

  @Test func sharedMemoryIsRefused() throws {
    var memory = [Float](repeating: 1, count: 100)
    let ids: [Int32] = [0, 1, 2, 3, 4, 0]
    let shape = EmbeddingShape(vocabulary: 5, batch: 2, context: 3, dim: 4)
    var workspace = try BackwardWorkspace()
    func error(_ tokens: Range<Int>, _ positions: Range<Int>) -> EmbedError? {
      unsafe memory.withUnsafeMutableBufferPointer { all in
        do throws(EmbedError) {
          try unsafe ids.withUnsafeBufferPointer { (ids) throws(EmbedError) in
            try unsafe Kernels.auto.backward(
              UnsafeBufferPointer(rebasing: all[0..<24]), ids: ids, shape: shape,
              tokens: .dense(UnsafeMutableBufferPointer(rebasing: all[tokens]), .accumulate),
              positions: .dense(
                UnsafeMutableBufferPointer(rebasing: all[positions]), .accumulate),
              workspace: &workspace)
          }
        } catch let error {
          return error
        }
        return nil
      }
    }
    #expect(error(20..<40, 60..<72) == .overlappingMemory(argument: "output gradient"))
    #expect(error(24..<44, 12..<24) == .overlappingMemory(argument: "output gradient"))
    #expect(error(24..<44, 40..<52) == .overlappingMemory(argument: "token gradient"))
    #expect(memory.allSatisfy { $0 == 1 })
    #expect(error(24..<44, 44..<56) == nil)
  }

  @Test func gradientsOfOtherTablesAreRefused() throws {
    let layer = try InputEmbedding(vocabulary: 5, dim: 4, positions: .learned(maximum: 3))
    let gradient = [Float](repeating: 1, count: 24)
    let ids: [Int32] = [0, 1, 2, 3, 4, 0]
    var otherRows = try InputGradient(vocabulary: 6, maximumContext: 3, dim: 4)
    #expect(
      throws: EmbedError.invalidSize(
        argument: "rows of the token gradient", value: 6, expected: "5")
    ) {
      try layer.backward(gradient.span, ids: ids.span, batch: 2, context: 3, into: &otherRows)
    }
    var otherDim = try InputGradient(vocabulary: 5, maximumContext: 3, dim: 8)
    #expect(
      throws: EmbedError.invalidSize(
        argument: "dim of the token gradient", value: 8, expected: "the output's, 4")
    ) {
      try layer.backward(gradient.span, ids: ids.span, batch: 2, context: 3, into: &otherDim)
    }
    #expect(otherRows.tokens.count == 0 && otherDim.tokens.count == 0)
  }

  @Test func layersOfFixedPositionsGiveNoPositionGradient() throws {
    let layer = try InputEmbedding(
      vocabulary: 5, dim: 4, positions: .sinusoidal(maximum: 3), scale: .sqrtDim, paddingID: 1)
    let gradient = [Float](repeating: 1, count: 24)
    let ids: [Int32] = [0, 1, 2, 3, 4, 0]
    let result = try layer.backward(gradient.span, ids: ids.span, batch: 2, context: 3)
    #expect(result.positions.count == 0)
    let (rows, values) = (result.tokens.rowIDs, result.tokens.values)
    #expect(rows.indices.map { rows[$0] } == [0, 2, 3, 4])
    #expect(values.indices.map { values[$0] } == [4, 4, 4, 4] + [Float](repeating: 2, count: 12))
  }
}
