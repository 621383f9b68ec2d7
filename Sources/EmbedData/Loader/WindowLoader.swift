// Sliding windows over a stream of tokens, in batches: B rows of T tokens, and the same shifted by
// one as targets. A batch is a function of its index alone, so loading can resume anywhere and be
// shared out among threads or machines by index.

/// The order in which windows are visited.
public enum WindowOrder: Sendable, Hashable {
  /// From the first token to the last.
  case sequential
  /// A pseudorandom order, the same on every platform for the same windows, seed and epoch. Give
  /// each pass over the data its own epoch for another order under the same seed.
  ///
  /// Window `i` in this order is computed from `i` alone, by a Feistel network of eight rounds over
  /// SplitMix64's output function, so that no list of windows is held. The numbers are fixed by tests
  /// and don't change between versions.
  case shuffled(seed: UInt64, epoch: UInt64 = 0)
}

/// What becomes of the windows that don't fill the last batch.
public enum LastBatch: Sendable, Hashable {
  /// They are left out: every batch has all rows.
  case dropped
  /// They make a batch of fewer rows.
  case kept
}

/// Batches of sliding windows over tokens in memory or in a file.
///
/// Window `w` starts at token `w * stride`; its row of inputs is the `context` tokens from there,
/// and its row of targets the `context` tokens from one later. Tokens that don't fill a last window
/// are left out. Safe to use from several threads at once.
public struct WindowLoader: Sendable {
  private enum Source: Sendable {
    case memory([Int32])
    case file(TokenFile)
  }

  /// Tokens in a row, T.
  public let context: Int
  /// Tokens between the starts of neighbouring windows.
  public let stride: Int
  /// Rows in a batch, B.
  public let batchSize: Int
  /// What becomes of the windows that don't fill the last batch.
  public let lastBatch: LastBatch
  /// The order of the windows.
  public let order: WindowOrder
  /// How many windows the tokens hold, dropped ones included.
  public let windowCount: Int
  /// How many batches there are.
  public let batchCount: Int

  private let source: Source
  private let permutation: IndexPermutation?

  /// Windows over an array.
  ///
  /// - Parameters:
  ///   - tokens: The stream.
  ///   - context: Tokens in a row, T, at least 1.
  ///   - stride: Tokens between windows, at least 1; by default `context`, so that none overlap.
  ///   - batchSize: Rows in a batch, B, at least 1.
  ///   - lastBatch: What becomes of windows that don't fill the last batch.
  ///   - order: The order of the windows.
  /// - Throws: ``DataError/invalidSetting(name:value:requirement:)``.
  public init(
    tokens: [Int32], context: Int, stride: Int? = nil, batchSize: Int,
    lastBatch: LastBatch = .dropped, order: WindowOrder = .sequential
  ) throws(DataError) {
    try self.init(
      .memory(tokens), tokens.count, context, stride ?? context, batchSize, lastBatch, order)
  }

  /// Windows over a token file, of which only the pages in use are in memory.
  ///
  /// Parameters and errors are those of ``init(tokens:context:stride:batchSize:lastBatch:order:)``.
  /// The file is advised of the order.
  public init(
    file: TokenFile, context: Int, stride: Int? = nil, batchSize: Int,
    lastBatch: LastBatch = .dropped, order: WindowOrder = .sequential
  ) throws(DataError) {
    try self.init(
      .file(file), file.count, context, stride ?? context, batchSize, lastBatch, order)
    file.advise(order == .sequential ? .sequential : .random)
  }

  private init(
    _ source: Source, _ count: Int, _ context: Int, _ stride: Int, _ batchSize: Int,
    _ lastBatch: LastBatch, _ order: WindowOrder
  ) throws(DataError) {
    for (name, value) in [("context", context), ("stride", stride), ("batchSize", batchSize)] {
      guard value >= 1 else {
        throw .invalidSetting(name: name, value: value, requirement: "at least 1")
      }
    }
    guard !context.multipliedReportingOverflow(by: batchSize).overflow else {
      throw .invalidSetting(
        name: "batchSize", value: batchSize,
        requirement: "at most \(Int.max / context), so that its rows of \(context) can be counted")
    }
    self.source = source
    self.context = context
    self.stride = stride
    self.batchSize = batchSize
    self.lastBatch = lastBatch
    self.order = order
    // A window needs one token more than its row, for the last target.
    windowCount = count > context ? (count - context - 1) / stride + 1 : 0
    let full = windowCount / batchSize
    let hasPartial = lastBatch == .kept && windowCount % batchSize > 0
    batchCount = full + (hasPartial ? 1 : 0)
    permutation =
      if case .shuffled(let seed, let epoch) = order {
        IndexPermutation(count: UInt64(windowCount), seed: seed, epoch: epoch)
      } else {
        nil
      }
  }

  /// The rows of a batch: `batchSize`, but for a last batch that is kept. 0 outside the loader.
  public func rows(inBatch batch: Int) -> Int {
    guard (0..<batchCount).contains(batch) else { return 0 }
    return min(batchSize, windowCount - batch * batchSize)
  }

  /// The position in the stream of the first input of a row; nil outside the loader.
  public func start(ofRow row: Int, inBatch batch: Int) -> Int? {
    guard (0..<rows(inBatch: batch)).contains(row) else { return nil }
    return start(batch * batchSize + row)
  }

  private func start(_ window: Int) -> Int {
    guard let permutation else { return window * stride }
    return Int(truncatingIfNeeded: permutation[UInt64(window)]) * stride
  }

  /// Writes a batch: `[rows, context]` ids at the start of both buffers. Allocates nothing.
  ///
  /// - Parameters:
  ///   - batch: Its index in `0..<batchCount`.
  ///   - inputs: At least `rows * context` elements.
  ///   - targets: The same; each is the token after the input at its place.
  /// - Returns: The rows written.
  /// - Throws: ``DataError/batchOutOfRange(index:count:)``,
  ///   ``DataError/bufferTooSmall(name:count:needed:)``, or
  ///   ``DataError/tokenTooLarge(value:position:limit:)`` for an id over `Int32.max` in the file;
  ///   then nothing is written.
  @discardableResult
  public func fill(
    batch: Int, inputs: inout MutableSpan<Int32>, targets: inout MutableSpan<Int32>
  ) throws(DataError) -> Int {
    try unsafe inputs.withUnsafeMutableBufferPointer { inputs throws(DataError) in
      try unsafe targets.withUnsafeMutableBufferPointer { targets throws(DataError) in
        try unsafe fill(batch: batch, inputs: inputs, targets: targets)
      }
    }
  }

  /// Writes a batch through pointers, as the method of this name with spans does.
  ///
  /// - Parameters:
  ///   - batch: Its index in `0..<batchCount`.
  ///   - inputs: At least `rows * context` elements.
  ///   - targets: The same, in other memory.
  /// - Returns: The rows written.
  /// - Throws: Also ``DataError/overlappingBuffers(first:second:)``.
  @discardableResult
  public func fill(
    batch: Int, inputs: UnsafeMutableBufferPointer<Int32>,
    targets: UnsafeMutableBufferPointer<Int32>
  ) throws(DataError) -> Int {
    guard (0..<batchCount).contains(batch) else {
      throw .batchOutOfRange(index: batch, count: batchCount)
    }
    let rows = rows(inBatch: batch)
    let needed = rows * context
    guard inputs.count >= needed else {
      throw .bufferTooSmall(name: "inputs", count: inputs.count, needed: needed)
    }
    guard targets.count >= needed else {
      throw .bufferTooSmall(name: "targets", count: targets.count, needed: needed)
    }
    if case .file(let file) = source, file.width == .uint32 {
      for row in 0..<rows {
        let start = start(batch * batchSize + row)
        try file.check(start..<start + context + 1)
      }
    }
    guard let inputs = inputs.baseAddress, let targets = targets.baseAddress else { return 0 }
    guard unsafe inputs + needed <= targets || targets + needed <= inputs else {
      throw .overlappingBuffers(first: "inputs", second: "targets")
    }
    for row in 0..<rows {
      let start = start(batch * batchSize + row)
      unsafe copy(start, to: inputs + row * context)
      unsafe copy(start + 1, to: targets + row * context)
    }
    return rows
  }

  private func copy(_ start: Int, to output: UnsafeMutablePointer<Int32>) {
    switch source {
    case .memory(let tokens):
      unsafe tokens.withUnsafeBufferPointer { tokens in
        guard let base = tokens.baseAddress else { return }
        unsafe output.update(from: base + start, count: context)
      }
    case .file(let file):
      unsafe file.copy(start..<start + context, to: output)
    }
  }

  /// Asks the system to bring a batch of a file into memory in the background, one call a row. Worth
  /// it for a shuffled file larger than memory, a batch or more ahead. Otherwise does nothing.
  public func prefetch(batch: Int) {
    guard case .file(let file) = source else { return }
    for row in 0..<rows(inBatch: batch) {
      let start = start(batch * batchSize + row)
      file.prefetch(start..<start + context + 1)
    }
  }
}
