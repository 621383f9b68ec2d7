// Rows from floats by the rule of their format, and back.

internal import CKernels
public import EmbedKernel
internal import Synchronization

extension RowTable {
  /// Quantises `elements`, shape `[rows, dim]`, by the rule of the format's inventors.
  ///
  /// The bytes don't depend on the number of threads.
  ///
  /// - Parameters:
  ///   - elements: Floats.
  ///   - kernels: The threads; by default as many as the CPU has for tables that gain from it.
  /// - Throws: `invalidSize` for a dim that the format has no rows of, `wrongElementCount`,
  ///   `invalidValue` for a number that the format can't hold, of which the first is named,
  ///   `sizeOverflow`, `outOfMemory`.
  public convenience init<Elements: ReadableElements<Float> & ~Copyable & ~Escapable>(
    quantizing elements: borrowing Elements, rows: Int, dim: Int, as format: RowFormat,
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    // A convenience initialiser can't call another from a closure.
    let memory = try unsafe elements.withElements { (elements) throws(EmbedError) in
      try unsafe RowMemory(quantizing: elements, rows, dim, format, kernels)
    }
    try unsafe self.init(
      rows: rows, dim: dim, format: format, bytes: UnsafeRawBufferPointer(memory.bytes),
      scales: UnsafeRawBufferPointer(memory.scales), of: memory)
  }

  /// Quantises a table.
  ///
  /// - Throws: As for floats.
  public convenience init(
    quantizing table: EmbeddingTable<Float>, as format: RowFormat, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    let memory = try unsafe RowMemory(
      quantizing: UnsafeBufferPointer(table.unsafeBuffer), table.rows, table.dim, format, kernels)
    try unsafe self.init(
      rows: table.rows, dim: table.dim, format: format, bytes: UnsafeRawBufferPointer(memory.bytes),
      scales: UnsafeRawBufferPointer(memory.scales), of: memory)
  }

  /// The table's memory, seen as rows of its element type, all up to date. What is written there later is
  /// seen too, and rows that an optimiser leaves behind later are read as they are.
  public convenience init<Element: TableElement>(sharing table: EmbeddingTable<Element>)
    throws(EmbedError)
  {
    try unsafe self.init(
      rows: table.rows, dim: table.dim, format: RowFormat(Element.elementType),
      bytes: UnsafeRawBufferPointer(table.unsafeBuffer), of: table)
  }

  /// Decodes the rows `range`, shape `[range.count, dim]`.
  ///
  /// - Parameter output: As many floats.
  /// - Throws: `invalidSize` for rows outside the table, `wrongElementCount`; `EmbedError` for choices of
  ///   `kernels` that there are not; `unreadableRow`, after which the output has no meaning.
  public func decode<Output: WritableElements<Float> & ~Copyable & ~Escapable>(
    _ range: Range<Int>, into output: inout Output, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe decode(range, output, kernels)
    }
  }

  /// All rows as floats.
  ///
  /// - Throws: `outOfMemory`; `EmbedError` for choices of `kernels` that there are not.
  public func decoded(using kernels: Kernels = .auto) throws(EmbedError) -> EmbeddingTable<Float> {
    let table = try EmbeddingTable<Float>(rows: rows, dim: dim)
    try unsafe decode(0..<rows, table.unsafeBuffer, kernels)
    return table
  }

  private func decode(
    _ range: Range<Int>, _ output: UnsafeMutableBufferPointer<Float>, _ kernels: Kernels
  ) throws(EmbedError) {
    guard range.lowerBound >= 0, range.upperBound <= rows else {
      throw .invalidSize(
        argument: "row", value: range.lowerBound < 0 ? range.lowerBound : range.upperBound - 1,
        expected: "a row of 0...\(rows - 1)")
    }
    guard output.count == range.count * dim else {
      throw .wrongElementCount(
        argument: "output", expected: range.count * dim, shape: [range.count, dim],
        actual: output.count)
    }
    guard let base = output.baseAddress, !range.isEmpty else { return }
    let plan = try Plan(
      kernels, EmbeddingShape(vocabulary: rows, batch: 1, context: range.count, dim: dim))
    try reading {
      let work = unsafe DecodeWork(
        kernels: plan.kernels, view: view, pages: pages, first: range.lowerBound, output: base)
      work.split(range.count, plan.threads)
    }
  }
}

/// output[r, :] = row first + r
@safe private struct DecodeWork: ParallelWork {
  let kernels: UnsafePointer<ek_kernels>
  let view: ek_rows
  let pages: TablePages?
  let first: Int
  let output: UnsafeMutablePointer<Float>

  func run(_ range: Range<Int>) {
    pages.visitParts(of: range, { first + $0 }, decode)
  }

  private func decode(_ range: Range<Int>) {
    var table = view
    for row in range {
      unsafe kernels.pointee.decode_row(
        &table, first + row, 0, view.dim, output + row * view.dim)
    }
  }
}

extension RowMemory {
  /// Rows of `elements` in a format.
  convenience init(
    quantizing elements: UnsafeBufferPointer<Float>, _ rows: Int, _ dim: Int, _ format: RowFormat,
    _ kernels: Kernels
  ) throws(EmbedError) {
    let sizes = try RowSizes(rows: rows, dim: dim, format: format)
    guard elements.count == rows * dim else {
      throw .wrongElementCount(
        argument: "elements", expected: rows * dim, shape: [rows, dim], actual: elements.count)
    }
    let plan = try Plan(
      kernels, EmbeddingShape(vocabulary: rows, batch: 1, context: rows, dim: dim))
    try self.init(sizes)
    let work = unsafe QuantizeWork(
      coding: format.coding, elements: elements, dim: dim,
      bytes: bytes.baseAddress.unsafelyUnwrapped, rowBytes: sizes.rowBytes,
      scales: scales.baseAddress.unsafelyUnwrapped, scaleBytes: sizes.scaleBytes)
    Threads.split(rows, plan.threads) { work.run($0) }
    guard let element = work.fault.first else { return }
    throw unsafe .invalidValue(
      argument: "element of row \(element / dim), column \(element % dim), as \(format.rawValue),",
      value: Double(elements[element]), expected: format.coding.domain)
  }
}

/// Each row by its format's rule.
@safe private struct QuantizeWork: ParallelWork {
  let coding: any RowCoding.Type
  let elements: UnsafeBufferPointer<Float>
  let dim: Int
  let bytes: UnsafeMutableRawPointer
  let rowBytes: Int
  let scales: UnsafeMutableRawPointer
  let scaleBytes: Int
  let fault = FirstFault()

  func run(_ range: Range<Int>) {
    for row in range {
      let elements = unsafe UnsafeBufferPointer(rebasing: elements[row * dim..<(row + 1) * dim])
      let column = unsafe coding.encode(
        elements, bytes + row * rowBytes, scales + row * scaleBytes)
      if let column { return fault.note(row * dim + column) }
    }
  }
}

/// The first element that any thread found fault with.
private final class FirstFault: Sendable {
  private let found = Mutex(Int.max)

  func note(_ element: Int) { found.withLock { $0 = min($0, element) } }

  var first: Int? {
    let element = found.withLock { $0 }
    return element == .max ? nil : element
  }
}
