// Room for the ids of a text before they are known. What an array grows by is copied, and each new page of
// it costs as much as its ids do: so a large text gets its room at once, in large pages, at the rate of a
// few samples and a quarter more, which stays untouched.

internal import CTokenizer

extension BytePairTokenizer {
  /// What encoding may ask for beside the ids themselves, to write to where they stay.
  static let slack = 2 * Int(EK_LEAST_ROOM)

  private static let samples = 8
  private static let sampleSize = 2_048
  /// Shorter texts take their room as they go.
  private static let leastSampled = 1 << 20

  /// Reserves room for the ids of a long range of the text.
  func reserve(
    _ ids: inout [Int32], _ text: UnsafePointer<UInt8>, _ range: Range<Int>, _ workspace: Workspace
  ) {
    let free = ids.capacity - ids.count
    guard range.count >= Self.leastSampled, free < range.count else { return }
    var bytes = 0
    var found = 0
    for sample in 0..<Self.samples {
      let start =
        range.lowerBound + (range.count - Self.sampleSize) / (Self.samples - 1) * sample
      var position = start
      var isLong = false
      found += unsafe ek_encode(
        workspace.encoder, tables.merges.vocabulary, text, &position, start + Self.sampleSize,
        workspace.ids, Workspace.room, &isLong)
      bytes += position - start
    }
    let rate = bytes == 0 ? 0.25 : Double(found) / Double(bytes)
    ids.makeRoom(range.count, rate: rate, beside: Self.slack)
  }
}

extension [Int32] {
  /// Makes room for the ids of `bytes` more at so many a byte and a quarter more, and `count` beside; where
  /// what there is has to be copied for it, for never less than twice as many, so that copies stay few.
  mutating func makeRoom(_ bytes: Int, rate: Double, beside count: Int) {
    let room = Swift.min(bytes, Int(saturating: rate * Double(bytes) * 1.25)) + count
    guard capacity - self.count < room else { return }
    reserve(isEmpty ? room : Swift.max(self.count + room, capacity * 2))
  }

  /// `reserveCapacity`, in large pages where there is much of it.
  mutating func reserve(_ count: Int) {
    reserveCapacity(count)
    let bytes = capacity * MemoryLayout<Int32>.stride
    unsafe withUnsafeMutableBufferPointer { buffer in
      if let base = buffer.baseAddress { unsafe ek_expect_writes(base, bytes) }
    }
  }
}
