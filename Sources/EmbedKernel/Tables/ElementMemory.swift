// Elements somewhere in memory, of one of the types that the kernels know.

/// A call's argument as the checks see it.
@usableFromInline
@safe package struct Elements {
  let base: UnsafeRawPointer?
  let count: Int
  let type: ElementType

  /// Elements from memory of `type`.
  @inlinable
  package init<Element: TableElement>(_ elements: UnsafeBufferPointer<Element>) {
    unsafe self.init(
      base: elements.baseAddress.map { unsafe UnsafeRawPointer($0) }, count: elements.count,
      type: Element.elementType)
  }

  @usableFromInline
  init(base: UnsafeRawPointer?, count: Int, type: ElementType) {
    unsafe self.base = base
    self.count = count
    self.type = type
  }

  var memory: Memory { unsafe Memory(base, count &* type.byteCount) }
}
