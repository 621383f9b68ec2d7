// What calls read from and write to: arrays, spans, buffers of this library and buffer pointers alike,
// so that a call is written once, and a caller passes what he has.
//
// Public calls take these generically and hand pointers to code that is generic in nothing: where a
// call is not specialised, in another module's debug build for one, it costs some tens of nanoseconds.

/// Elements side by side in memory that a call may read: `[Float]`, `Span<Float>`,
/// `AlignedBuffer<Float>`, `NumPyArray<Float>`, `UnsafeBufferPointer<Float>` and their like.
///
/// Pass such a value itself to a call of this library, rather than its span. Swift 6.3.1 and before die
/// on the span of a value that comes out of a call that throws, as in
/// `compare(x.span, try NumPyArray<Float>(contentsOf: path).span)`: bind the value with `let` where a
/// function takes a span.
public protocol ReadableElements<Element>: ~Copyable, ~Escapable {
  associatedtype Element

  /// Calls `body` with the elements; the buffer must not outlive the call.
  func withElements<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result

  /// Whether there are none at all, as an optional may say: other than empty.
  var isAbsent: Bool { get }
}

extension ReadableElements where Self: ~Copyable & ~Escapable {
  /// They are there.
  @inlinable public var isAbsent: Bool { false }
}

/// Elements side by side in memory that a call may write: a variable of `[Float]`,
/// `MutableSpan<Float>`, `AlignedBuffer<Float>`, `UnsafeMutableBufferPointer<Float>` or their like.
public protocol WritableElements<Element>: ~Copyable, ~Escapable {
  associatedtype Element

  /// Calls `body` with the elements; the buffer must not outlive the call.
  mutating func withMutableElements<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result
}

// MARK: Arrays

extension Array: ReadableElements, WritableElements {
  /// Calls `body` with this very memory.
  @inlinable public func withElements<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try unsafe span.withUnsafeBufferPointer(body) }

  /// Calls `body` with this very memory.
  @inlinable public mutating func withMutableElements<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var span = mutableSpan
    return try unsafe span.withUnsafeMutableBufferPointer(body)
  }
}

extension ArraySlice: ReadableElements, WritableElements {
  /// Calls `body` with this very memory.
  @inlinable public func withElements<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try unsafe span.withUnsafeBufferPointer(body) }

  /// Calls `body` with this very memory.
  @inlinable public mutating func withMutableElements<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var span = mutableSpan
    return try unsafe span.withUnsafeMutableBufferPointer(body)
  }
}

extension ContiguousArray: ReadableElements, WritableElements {
  /// Calls `body` with this very memory.
  @inlinable public func withElements<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try unsafe span.withUnsafeBufferPointer(body) }

  /// Calls `body` with this very memory.
  @inlinable public mutating func withMutableElements<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var span = mutableSpan
    return try unsafe span.withUnsafeMutableBufferPointer(body)
  }
}

// MARK: Spans

extension Span: ReadableElements {
  /// Calls `body` with this very memory.
  @inlinable public func withElements<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try unsafe withUnsafeBufferPointer(body) }
}

extension MutableSpan: ReadableElements, WritableElements {
  /// Calls `body` with this very memory.
  @inlinable public func withElements<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try unsafe withUnsafeBufferPointer(body) }

  /// Calls `body` with this very memory.
  @inlinable public mutating func withMutableElements<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try unsafe withUnsafeMutableBufferPointer(body) }
}

extension Optional: ReadableElements where Wrapped: ReadableElements & ~Copyable & ~Escapable {
  /// Whether this is nil.
  @inlinable public var isAbsent: Bool {
    switch self {
    case .some: false
    case .none: true
    }
  }

  /// Calls `body` with the elements, or with an empty buffer.
  @inlinable public func withElements<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<Wrapped.Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    switch self {
    case .some(let elements): try unsafe elements.withElements(body)
    case .none: try unsafe body(UnsafeBufferPointer(start: nil, count: 0))
    }
  }
}

// MARK: Arrays of files

extension NumPyArray: ReadableElements {
  /// Calls `body` with this very memory.
  public func withElements<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try unsafe withUnsafeBufferPointer(body) }
}

// MARK: Buffer pointers

extension UnsafeBufferPointer: @unsafe ReadableElements {
  /// Calls `body` with this very memory.
  @inlinable public func withElements<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try unsafe body(self) }
}

extension UnsafeMutableBufferPointer: @unsafe ReadableElements, @unsafe WritableElements {
  /// Calls `body` with this very memory.
  @inlinable public func withElements<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try unsafe body(UnsafeBufferPointer(self)) }

  /// Calls `body` with this very memory.
  @inlinable public mutating func withMutableElements<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try unsafe body(self) }
}
