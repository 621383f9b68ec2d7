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
