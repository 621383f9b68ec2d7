// A call's arguments as its checks see them, and this library's memory among what calls read and write.

extension AlignedBuffer: ReadableElements, WritableElements {
  /// Calls `body` with this very memory.
  @inlinable public func withElements<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try unsafe body(UnsafeBufferPointer(unsafeBuffer)) }

  /// Calls `body` with this very memory.
  @inlinable public mutating func withMutableElements<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try unsafe body(unsafeBuffer) }
}

/// A call's argument as the checks see it.
@usableFromInline
@safe package struct Elements {
  package let base: UnsafeRawPointer?
  package let count: Int
  package let type: ElementType
  let bytes: Int

  /// Elements from memory of `type`.
  @inlinable
  package init<Element: TableElement>(_ elements: UnsafeBufferPointer<Element>) {
    unsafe self.init(
      base: elements.baseAddress.map { unsafe UnsafeRawPointer($0) }, count: elements.count,
      type: Element.elementType)
  }

  @usableFromInline
  package init(base: UnsafeRawPointer?, count: Int, type: ElementType, bytes: Int? = nil) {
    unsafe self.base = base
    self.count = count
    self.type = type
    self.bytes = bytes ?? count &* type.byteCount
  }

  /// The elements of a `.float32` memory.
  package var floats: UnsafeBufferPointer<Float> {
    unsafe UnsafeBufferPointer(start: base?.assumingMemoryBound(to: Float.self), count: count)
  }

  package var memory: Memory { unsafe Memory(base, bytes) }
}
