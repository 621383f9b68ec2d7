// Softmax cross-entropy of hidden states against a table, in chunks of rows: the logits of all rows together
// would be the largest memory of a training step by far.
//
// N rows, V vocabulary, D dim, C rows of a chunk.

public import EmbedKernel

/// The loss of an output table and its gradients, whose logits are never whole.
///
///     logits = hidden * transpose of table
///     loss = mean over n of log(sum over v of e^logits[n, v]) - logits[n, targets[n]]
///
/// Holds 4 * C * V + 4 * N bytes, for C rows of logits at a time, where the whole takes 4 * N * V, and
/// as much again for its gradient. A chunk's gradient stands where its logits stood, and goes into those
/// of the hidden states and the table before the next chunk: a product is computed once. Bit for bit
/// the same on any number of threads; a chunk of another size sums the table's gradient in another order.
///
/// A value of this class belongs to one thread at a time.
public final class ChunkedCrossEntropy {
  /// The table's rows and columns.
  public let vocabulary: Int
  /// The floats of a hidden state.
  public let dim: Int
  /// The most hidden states of a call.
  public let rows: Int
  /// The rows of logits at a time.
  public let chunk: Int
  /// The threads of a call.
  public let threads: Int

  private let logits: AlignedBuffer<Float>
  private let losses: AlignedBuffer<Float>

  /// Allocates the logits of a chunk.
  ///
  /// - Parameters:
  ///   - rows: The most hidden states of a call.
  ///   - chunk: The rows of logits at a time; nil for as many as 100 MiB hold, at least 64.
  ///   - threads: The threads of a call; nil for all CPUs.
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`; `invalidEnvironment` and
  ///   `unavailableInstructionSet` for what `EMBEDKERNEL_INSTRUCTION_SET` says.
  public init(
    vocabulary: Int, dim: Int, rows: Int, chunk: Int? = nil, threads: Int? = nil
  ) throws(EmbedError) {
    for (name, value) in [
      ("vocabulary", vocabulary), ("dim", dim), ("rows", rows), ("chunk", chunk ?? 1),
      ("threads", threads ?? 1),
    ] where value < 1 {
      throw .invalidSize(argument: name, value: value, expected: "1 or more")
    }
    // The products count in 32 bits.
    for (name, value) in [("vocabulary", vocabulary), ("dim", dim), ("rows", rows)]
    where value > Int(Int32.max) {
      throw .invalidSize(argument: name, value: value, expected: "at most \(Int32.max)")
    }
    try RowKernels.check()
    let chunk = min(rows, chunk ?? LogitChunks.rows(rows, vocabulary: vocabulary))
    let logits = try AlignedBuffer<Float>(count: elementCount("logits", chunk, vocabulary))
    let losses = try AlignedBuffer<Float>(count: rows)
    self.vocabulary = vocabulary
    self.dim = dim
    self.rows = rows
    self.chunk = chunk
    self.threads = min(threads ?? Threads.available, 256)
    self.logits = logits
    self.losses = losses
  }

  /// The bytes it holds.
  public var memoryBytes: Int { 4 * (logits.count + losses.count) }

  /// The mean loss, in nats a row.
  ///
  /// - Parameters:
  ///   - hidden: Shape `[n, dim]`, of at most ``rows`` rows.
  ///   - targets: The id that each row is to tell, `[n]`.
  ///   - table: Shape `[vocabulary, dim]`.
  /// - Throws: `wrongElementCount`, `invalidSize` for more rows than there is room for,
  ///   `tokenOutOfRange`, `unavailableLibrary`; before anything is computed. Allocates nothing.
  public func loss(
    _ hidden: Span<Float>, targets: Span<Int32>, table: Span<Float>
  ) throws(EmbedError) -> Double {
    let chunks = try chunks(hidden, targets, table)
    try OneThreadedBLAS.run { () throws(EmbedError) in chunks.computeLosses() }
    return mean(targets.count)
  }

  /// The mean loss, and its gradients.
  ///
  /// - Parameters:
  ///   - weight: Multiplies the gradients: of a part of a batch, its share of the rows.
  ///   - hiddenGradient: Shape `[n, dim]`, written.
  ///   - tableGradient: Shape `[vocabulary, dim]`, written or added to: a tied table's has another part.
  /// - Throws: As ``loss(_:targets:table:)``, and for the gradients' sizes and a weight that is not
  ///   finite; before anything is written. Allocates nothing.
  public func gradients(
    _ hidden: Span<Float>, targets: Span<Int32>, table: Span<Float>, weight: Float = 1,
    hiddenGradient: inout MutableSpan<Float>, tableGradient: inout MutableSpan<Float>,
    _ writing: GradientWriting
  ) throws(EmbedError) -> Double {
    let chunks = try chunks(hidden, targets, table)
    try check("hidden gradient", hiddenGradient.count, targets.count, dim)
    try check("table gradient", tableGradient.count, vocabulary, dim)
    guard weight.isFinite else {
      throw .invalidValue(
        argument: "weight", value: Double(weight), expected: "a finite number")
    }
    let first = unsafe hiddenGradient.withUnsafeMutableBufferPointer {
      unsafe $0.baseAddress.unsafelyUnwrapped
    }
    let second = unsafe tableGradient.withUnsafeMutableBufferPointer {
      unsafe $0.baseAddress.unsafelyUnwrapped
    }
    try OneThreadedBLAS.run { () throws(EmbedError) in
      unsafe chunks.gradients(
        scale: weight / Float(targets.count), StridedMatrix(first, targets.count, dim),
        StridedMatrix(second, vocabulary, dim), writing)
    }
    return mean(targets.count)
  }

  private func chunks(
    _ hidden: Span<Float>, _ targets: Span<Int32>, _ table: Span<Float>
  ) throws(EmbedError) -> LogitChunks {
    guard (1...rows).contains(targets.count) else {
      throw .invalidSize(
        argument: "targets", value: targets.count, expected: "1...\(rows), as there is room for")
    }
    try check("hidden", hidden.count, targets.count, dim)
    try check("table", table.count, vocabulary, dim)
    for i in targets.indices where !(0..<vocabulary).contains(Int(targets[i])) {
      throw .tokenOutOfRange(
        id: Int64(targets[i]), batchRow: 0, position: i, vocabulary: vocabulary)
    }
    func matrix(_ span: Span<Float>, _ rows: Int) -> StridedMatrix {
      unsafe span.withUnsafeBufferPointer {
        unsafe StridedMatrix(
          UnsafeMutablePointer(mutating: $0.baseAddress.unsafelyUnwrapped), rows, dim)
      }
    }
    return unsafe LogitChunks(
      hidden: matrix(hidden, targets.count), table: matrix(table, vocabulary),
      targets: targets.withUnsafeBufferPointer { unsafe $0.baseAddress.unsafelyUnwrapped },
      losses: losses.unsafeBuffer.baseAddress.unsafelyUnwrapped,
      logits: logits.unsafeBuffer.baseAddress.unsafelyUnwrapped, chunk: chunk, threads: threads)
  }

  private func check(
    _ name: String, _ count: Int, _ rows: Int, _ dim: Int
  ) throws(EmbedError) {
    let (expected, isTooLarge) = rows.multipliedReportingOverflow(by: dim)
    guard !isTooLarge, count == expected else {
      throw .wrongElementCount(
        argument: name, expected: expected, shape: [rows, dim], actual: count)
    }
  }

  private func mean(_ count: Int) -> Double {
    var sum = 0.0
    for row in 0..<count { unsafe sum += Double(losses.unsafeBuffer[row]) }
    return sum / Double(count)
  }
}

/// A checked call, within `OneThreadedBLAS.run`.
@safe struct LogitChunks {
  /// `[N, D]` and `[V, D]`.
  let hidden: StridedMatrix
  let table: StridedMatrix
  let targets: UnsafePointer<Int32>
  /// `[N]`.
  let losses: UnsafeMutablePointer<Float>
  /// `[chunk, V]`.
  let logits: UnsafeMutablePointer<Float>
  let chunk: Int
  let threads: Int

  /// The rows of a chunk of 100 MiB, but 64 of any vocabulary.
  static func rows(_ rows: Int, vocabulary: Int) -> Int {
    min(rows, max(64, (25 << 20) / vocabulary))
  }

  /// Writes the loss of each row.
  func computeLosses() {
    forEach { rows, logits in
      Parallel.rows(rows.count, threads, crossEntropy(rows, scale: nil))
    }
  }

  /// Writes the losses, and the gradients times `scale`.
  func gradients(
    scale: Float, _ hiddenGradient: StridedMatrix, _ tableGradient: StridedMatrix,
    _ writing: GradientWriting
  ) {
    forEach { rows, logits in
      Parallel.rows(rows.count, threads, crossEntropy(rows, scale: scale))
      MatrixProduct.multiply(
        logits, table, .overwrite, hiddenGradient.rows(rows), threads: threads)
      MatrixProduct.multiply(
        logits.transposed, hidden.rows(rows), rows.lowerBound == 0 ? writing : .accumulate,
        tableGradient, threads: threads)
    }
  }

  /// Computes the logits of one chunk after another.
  @inline(__always)
  private func forEach(_ body: (_ rows: Range<Int>, _ logits: StridedMatrix) -> Void) {
    var start = 0
    while start < hidden.rows {
      let rows = start..<min(hidden.rows, start + chunk)
      let matrix = unsafe StridedMatrix(logits, rows.count, table.rows)
      MatrixProduct.multiply(
        hidden.rows(rows), table.transposed, .overwrite, matrix, threads: threads)
      body(rows, matrix)
      start = rows.upperBound
    }
  }

  private func crossEntropy(_ rows: Range<Int>, scale: Float?) -> CrossEntropyRows {
    unsafe CrossEntropyRows(
      logits: logits, vocabulary: table.rows, targets: targets + rows.lowerBound,
      losses: losses + rows.lowerBound, scale: scale)
  }
}
