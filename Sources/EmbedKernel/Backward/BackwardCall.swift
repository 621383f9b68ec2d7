// One backward call, checked: everything a backend needs, as plain pointers and sizes.
//
// B batch, T context, N = B*T tokens, V vocabulary, D dim.

/// A checked call: for each table, rows (+)= factor * sum of the output gradients of their tokens.
@safe struct BackwardCall {
  /// The gradient of one table.
  @safe struct Table {
    var groups: RowGroupView
    var heavy: HeavyRows.View
    /// Row i of a row-sparse gradient, or row `rowIDs[i]` of a dense one.
    var values: UnsafeMutablePointer<Float>
    var isRowSparse: Bool
    var accumulates: Bool
    /// The table's rows, where a dense gradient is overwritten: those in between become zero.
    var rowsToClear = 0
    var factor: Float
    var dividesByCount = false
    var indexStep = 0
    var streaming: Bool
  }

  /// Shape `[batch, context, dim]`.
  let outputGradient: UnsafeBufferPointer<Float>
  let ids: TokenIDs
  let shape: EmbeddingShape
  let places: Places
  let options: BackwardOptions
  /// What is wanted, once the batch has been grouped.
  var tokens: Table?
  var positions: Table?
  /// Room for an index a token, where tokens that occur once are passed on by the batch sum.
  var destinations: UnsafeMutablePointer<Int32>?
  /// Multiply the output gradients first, one for each grouped token; nil: none.
  var factors: UnsafePointer<Float>?

  var tokenCount: Int { shape.batch &* shape.context }
  var dim: Int { shape.dim }
  /// Row 0 of the output gradient; an empty one's is never read.
  var gradientRows: UnsafePointer<Float> {
    unsafe outputGradient.baseAddress ?? UnsafePointer(bitPattern: 64).unsafelyUnwrapped
  }

  /// Checks sizes, ids and numbers.
  func check() throws(EmbedError) {
    let counts = try shape.check()
    guard ids.count == counts.ids else {
      throw .wrongElementCount(
        argument: "ids", expected: counts.ids, shape: [shape.batch, shape.context],
        actual: ids.count)
    }
    guard unsafe outputGradient.count == counts.output else {
      throw unsafe .wrongElementCount(
        argument: "output gradient", expected: counts.output,
        shape: [shape.batch, shape.context, shape.dim], actual: outputGradient.count)
    }
    for (name, value) in [("scale", options.scale), ("gradient scale", options.gradientScale)] {
      guard value.isFinite else {
        throw .invalidValue(argument: name, value: Double(value), expected: "a finite number")
      }
    }
    if let padding = options.paddingID, padding < 0 || padding >= shape.vocabulary {
      throw .invalidSize(
        argument: "padding id", value: padding, expected: "an id of 0...\(shape.vocabulary - 1)")
    }
    if options.unknownIDs == .error, !ids.areAll(below: shape.vocabulary),
      let error = ids.firstOutside(shape.vocabulary, context: shape.context)
    {
      throw error
    }
  }

  /// Checks a target against a table of `rows` rows, or of any number if nil; the number it has.
  func rows(
    of target: borrowing GradientTarget, _ name: String, expected: Int?
  ) throws(EmbedError) -> Int {
    switch target.kind {
    case .none: return expected ?? 0
    case .rowSparse(let gradient):
      let (rows, dim) = unsafe (gradient.pointee.rows, gradient.pointee.dim)
      guard dim == shape.dim else {
        throw .invalidSize(
          argument: "dim of the \(name)", value: dim, expected: "the output's, \(shape.dim)")
      }
      if let expected, rows != expected {
        throw .invalidSize(argument: "rows of the \(name)", value: rows, expected: "\(expected)")
      }
      return rows
    case .dense(let buffer, _):
      let rows = expected ?? buffer.count / shape.dim
      let count = try elementCount(name, rows, shape.dim)
      guard buffer.count == count else {
        throw .wrongElementCount(
          argument: name, expected: expected == nil ? count + shape.dim : count,
          shape: [expected == nil ? rows + 1 : rows, shape.dim], actual: buffer.count)
      }
      try unsafe checkOverlap(buffer, name)
      return rows
    }
  }

  private func checkOverlap(
    _ buffer: UnsafeMutableBufferPointer<Float>, _ name: String
  ) throws(EmbedError) {
    let written = unsafe Memory(buffer.baseAddress, buffer.count * 4)
    if written.overlaps(unsafe Memory(outputGradient.baseAddress, outputGradient.count * 4)) {
      throw .overlappingMemory(argument: "output gradient")
    }
    if written.overlaps(unsafe Memory(ids.base, ids.bytes)) {
      throw .overlappingMemory(argument: "ids")
    }
  }
}

extension GradientTarget {
  var isSome: Bool {
    if case .none = kind { false } else { true }
  }

  /// The memory of a dense one; nothing of others.
  package var memory: Memory {
    guard case .dense(let buffer, _) = kind else { return unsafe Memory(nil, 0) }
    return unsafe Memory(buffer.baseAddress, buffer.count * 4)
  }

  /// Checks that two targets share no memory.
  static func checkApart(
    _ tokens: borrowing GradientTarget, _ positions: borrowing GradientTarget
  ) throws(EmbedError) {
    if tokens.memory.overlaps(positions.memory) {
      throw .overlappingMemory(argument: "token gradient")
    }
  }

  /// The target as backends see it, with room made for a row of each group.
  func table(
    _ groups: RowGroupView, _ heavy: HeavyRows.View, dim: Int, factor: Float, streams: Bool
  ) throws(EmbedError) -> BackwardCall.Table? {
    let aligned = dim % 16 == 0
    switch kind {
    case .none: return nil
    case .rowSparse(let gradient):
      try unsafe gradient.pointee.resize(to: groups.count)
      unsafe gradient.pointee.rowIDMemory.update(from: groups.rowIDs, count: groups.count)
      let values = unsafe gradient.pointee.valueMemory
      return unsafe BackwardCall.Table(
        groups: groups, heavy: heavy, values: values, isRowSparse: true, accumulates: false,
        factor: factor, streaming: streams && aligned && UInt(bitPattern: values) % 64 == 0)
    case .dense(let buffer, let writing):
      let values =
        unsafe buffer.baseAddress ?? UnsafeMutablePointer(bitPattern: 64).unsafelyUnwrapped
      let startsLine = UInt(bitPattern: values) % 64 == 0
      return unsafe BackwardCall.Table(
        groups: groups, heavy: heavy, values: values, isRowSparse: false,
        accumulates: writing == .accumulate,
        rowsToClear: writing == .overwrite ? buffer.count / dim : 0, factor: factor,
        streaming: streams && aligned && startsLine && writing == .overwrite)
    }
  }
}
