// One array's bytes, where they are in its file, for as long as somebody reads them.

internal import EmbedKernel

/// Bytes that live as long as this does.
@safe final class TensorBytes: @unchecked Sendable {
  let bytes: UnsafeRawBufferPointer
  /// What the bytes belong to.
  private let owner: any AnyObject & Sendable

  /// - Parameter bytes: Of what `owner` keeps, at one place while that lives.
  @unsafe init(_ bytes: UnsafeRawBufferPointer, of owner: any AnyObject & Sendable) {
    unsafe self.bytes = bytes
    self.owner = owner
  }

  /// Elements made here.
  convenience init<Element: FileElement>(_ elements: consuming AlignedBuffer<Element>) {
    let owner = Kept(elements)
    unsafe self.init(UnsafeRawBufferPointer(owner.value.unsafeBuffer), of: owner)
  }
}

/// A value that cannot be copied, for several to keep.
final class Kept<Value: ~Copyable & Sendable>: Sendable {
  let value: Value

  init(_ value: consuming Value) { self.value = value }
}
