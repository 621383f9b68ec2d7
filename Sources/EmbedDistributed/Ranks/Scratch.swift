// Memory that calls work in: it grows to the largest call seen and stays.

internal import EmbedKernel

/// Elements whose values no call keeps for the next.
struct Scratch<Element: BitwiseCopyable>: ~Copyable {
  private var buffer: AlignedBuffer<Element>

  init() throws(DistributedError) {
    buffer = try DistributedError.wrapping(try AlignedBuffer(count: 0))
  }

  /// Makes room for `count` elements; the old ones are lost where it grows.
  mutating func reserve(_ count: Int) throws(DistributedError) {
    guard count > buffer.count else { return }
    let room = max(count, buffer.count + buffer.count / 2)
    buffer = try DistributedError.wrapping(try AlignedBuffer(count: room))
  }

  @unsafe var base: UnsafeMutablePointer<Element> { unsafe buffer.base }

  /// The first `count` elements.
  @unsafe func first(_ count: Int) -> UnsafeBufferPointer<Element> {
    unsafe UnsafeBufferPointer(start: base, count: count)
  }

  /// The bytes there is room for.
  var byteCount: Int { buffer.count * MemoryLayout<Element>.stride }
}
