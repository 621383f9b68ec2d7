// Where a table's gradient goes: a row-sparse gradient, a dense buffer of the caller's, or nowhere.

/// Where backward writes the gradient of a table `[rows, dim]`.
@safe public struct GradientTarget: ~Copyable, ~Escapable {
  @safe enum Kind {
    case none
    case rowSparse(UnsafeMutablePointer<RowSparseGradient>)
    case dense(UnsafeMutableBufferPointer<Float>, GradientWriting)
  }

  let kind: Kind

  @_lifetime(immortal)
  private init(_ kind: Kind) { self.kind = kind }

  /// Nowhere: the gradient is not computed.
  public static var none: GradientTarget {
    @_lifetime(immortal)
    get { GradientTarget(.none) }
  }

  /// The touched rows replace those that `gradient` lists.
  @_lifetime(&gradient)
  public static func rowSparse(_ gradient: inout RowSparseGradient) -> GradientTarget {
    let kind = unsafe withUnsafeMutablePointer(to: &gradient) { unsafe Kind.rowSparse($0) }
    return unsafe _overrideLifetime(GradientTarget(kind), mutating: &gradient)
  }

  /// A whole table's gradient.
  ///
  /// - Parameter buffer: Shape `[rows, dim]`.
  @_lifetime(&buffer)
  @inlinable
  public static func dense<Buffer: WritableElements<Float> & ~Copyable & ~Escapable>(
    _ buffer: inout Buffer, _ writing: GradientWriting
  ) -> GradientTarget {
    // The target keeps the access to the variable, so that its memory stays where it is.
    let pointer = unsafe buffer.withMutableElements { unsafe $0 }
    return unsafe _overrideLifetime(dense(pointer, writing), mutating: &buffer)
  }

  /// The same on a buffer pointer, which must outlive the call.
  @_lifetime(immortal)
  public static func dense(
    _ buffer: UnsafeMutableBufferPointer<Float>, _ writing: GradientWriting
  ) -> GradientTarget {
    unsafe GradientTarget(.dense(buffer, writing))
  }
}

extension GradientTarget {
  var isSome: Bool {
    if case .none = kind { false } else { true }
  }

  /// Checks that two targets share no memory.
  static func checkApart(
    _ tokens: borrowing GradientTarget, _ positions: borrowing GradientTarget
  ) throws(EmbedError) {
    guard case .dense(let a, _) = tokens.kind, case .dense(let b, _) = positions.kind
    else { return }
    let memory = unsafe Memory(a.baseAddress, a.count * 4)
    if memory.overlaps(unsafe Memory(b.baseAddress, b.count * 4)) {
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
