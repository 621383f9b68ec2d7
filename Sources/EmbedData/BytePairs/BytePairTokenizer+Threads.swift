// One large text over several threads. It is cut where a piece certainly ends, and whichever thread is
// free encodes the next part into memory of its own, then puts the ids where those of the parts before it
// end: the ids of the whole text, in one pass, without a second copy of them.

internal import CThreadPool
internal import Synchronization

extension BytePairTokenizer {
  /// The bytes of a part: enough that handing it over costs nothing, and few enough that its ids are still
  /// near when they are put in their place.
  private static let partSize = 1 << 16
  /// Fewer bytes are one thread's.
  private static let leastShared = 1 << 18

  /// Appends the ids of `bytes` to `ids`, by several threads: the same ids as of one, and the same errors.
  ///
  /// - Parameters:
  ///   - threads: At least 1; nil for all CPUs that the process may use. A text of less than 256 KiB is
  ///     the calling thread's alone, and so is one without places to cut it.
  /// - Throws: ``DataError/invalidSetting(name:value:requirement:)`` for `threads` below 1, and what
  ///   encoding by one thread throws.
  public func encode(
    _ bytes: Span<UInt8>, special: SpecialText = .ordinary, threads: Int?,
    into ids: inout [Int32]
  ) throws(DataError) {
    guard let threads = try sharing(bytes.count, threads) else {
      return try encode(bytes, special: special, into: &ids)
    }
    let start = ids.count
    do throws(DataError) {
      try unsafe bytes.withUnsafeBufferPointer { buffer throws(DataError) in
        guard let text = buffer.baseAddress else { return }
        withWorkspace { unsafe reserve(&ids, text, 0..<buffer.count, $0) }
        let parts = unsafe TextShares(self, text, buffer.count, special, threads, Self.partSize)
        while parts.position < buffer.count {
          let rest = buffer.count - parts.position
          if ids.capacity - ids.count < min(rest, 2 * threads * Self.partSize) {
            let rate = parts.position == 0 ? 1 : Double(ids.count - start) / Double(parts.position)
            ids.makeRoom(rest, rate: rate, beside: Self.partSize)
          }
          // Ids are no more than bytes: what is shared out always fits.
          let room = ids.capacity - ids.count
          if let long = parts.share(atMost: room) {
            try withWorkspace { workspace throws(DataError) in
              try unsafe encode(text, long, special, workspace, &ids)
            }
            continue
          }
          ids.append(addingCapacity: room) { span in
            unsafe span.withUnsafeMutableBufferPointer { buffer, count in
              unsafe count += parts.encode(
                into: UnsafeMutableBufferPointer(rebasing: buffer[count...]))
            }
          }
          if let error = parts.error { throw error }
        }
      }
    } catch {
      ids.removeLast(ids.count - start)
      throw error
    }
  }

  /// The threads that share a text of so many bytes, or nil where it is one's.
  func sharing(_ count: Int, _ threads: Int?) throws(DataError) -> Int? {
    try DataError.check(threads: threads)
    let threads = threads ?? Int(ek_available_cpus())
    // No more than there are parts, whatever number is asked for.
    return threads > 1 && count >= Self.leastShared ? min(threads, count / Self.partSize) : nil
  }

  /// Writes the ids of a text to the start of `target`, as far as there is room; returns how many there are.
  func encode(
    _ text: UnsafeBufferPointer<UInt8>, threads: Int, _ target: UnsafeMutableBufferPointer<Int32>
  ) throws(DataError) -> Int {
    guard let base = text.baseAddress else { return 0 }
    let parts = unsafe TextShares(self, base, text.count, .ordinary, threads, Self.partSize)
    var written = 0
    while parts.position < text.count {
      if let long = parts.share(atMost: .max) {
        var ids: [Int32] = []
        try withWorkspace { workspace throws(DataError) in
          try unsafe encode(base, long, .ordinary, workspace, &ids)
        }
        unsafe ids.withUnsafeBufferPointer { unsafe put($0, target, &written) }
        continue
      }
      let from = min(written, target.count)
      written += unsafe parts.encode(into: UnsafeMutableBufferPointer(rebasing: target[from...]))
      if let error = parts.error { throw error }
    }
    return written
  }

  /// Where the part that starts at `start` ends: after some `size` bytes, or where there next is a place.
  fileprivate func partEnd(
    _ text: UnsafePointer<UInt8>, _ start: Int, _ count: Int, _ size: Int
  ) -> Int {
    var end = start
    repeat {
      end += size
      if end >= count { return count }
      if let place = unsafe boundary(text, before: end, from: start, count) { return place }
    } while true
  }
}

/// Parts of a text that threads encode at once, some of them in each turn.
@safe private final class TextShares: @unchecked Sendable {
  /// For each thread, the most parts in a turn: how far ahead of a slow one the others may come.
  private static let partsInTurn = 32
  /// Longer ones, which have no place to be cut, are the calling thread's, where they stay.
  private static let longest = 16

  private struct Part {
    var range: Range<Int>
    /// What it came to, while parts before it are still being encoded.
    var ids: [Int32] = []
    var isWaiting = false
    var offset = 0
  }

  /// What is known of the order of ids.
  private struct Order {
    /// The first part whose ids have no place yet, and their place.
    var next = 0
    var offset = 0
    var failed: (part: Int, error: DataError)?
  }

  private let tokenizer: BytePairTokenizer
  private let text: UnsafePointer<UInt8>
  private let end: Int
  private let special: SpecialText
  private let threads: Int
  private let size: Int
  /// Up to where the text is shared out.
  private(set) var position = 0
  /// Each is one thread's at a time.
  private let parts: UnsafeMutablePointer<Part>
  private let most: Int
  private var count = 0
  private let taken = Atomic(0)
  private let order = Guarded(Order())
  private var target = unsafe UnsafeMutableBufferPointer<Int32>(start: nil, count: 0)

  init(
    _ tokenizer: BytePairTokenizer, _ text: UnsafePointer<UInt8>, _ end: Int,
    _ special: SpecialText, _ threads: Int, _ size: Int
  ) {
    self.tokenizer = tokenizer
    unsafe self.text = text
    self.end = end
    self.special = special
    self.threads = threads
    self.size = size
    most = min(end / size + 1, threads * Self.partsInTurn)
    unsafe parts = .allocate(capacity: most)
    unsafe parts.initialize(repeating: Part(range: 0..<0), count: most)
  }

  deinit {
    unsafe parts.deinitialize(count: most)
    unsafe parts.deallocate()
  }

  /// The first error of the last turn's text.
  var error: DataError? { order.withLock { $0.failed?.error } }

  /// Cuts the parts of a turn, of at most `bytes` in all; or returns the next one, where that is to be
  /// encoded by itself.
  func share(atMost bytes: Int) -> Range<Int>? {
    count = 0
    var left = bytes
    while position < end, count < most {
      let part = unsafe position..<tokenizer.partEnd(text, position, end, size)
      if part.count > min(left, Self.longest * size) {
        guard count == 0 else { break }
        position = part.upperBound
        return part
      }
      unsafe parts[count].range = part
      left -= part.count
      position = part.upperBound
      count += 1
    }
    return nil
  }

  /// Encodes the parts, and writes their ids in order as far as there is room; returns how many there are.
  func encode(into target: UnsafeMutableBufferPointer<Int32>) -> Int {
    unsafe self.target = target
    order.withLock { $0 = Order() }
    taken.store(0, ordering: .relaxed)
    let address = unsafe Unmanaged.passUnretained(self).toOpaque()
    unsafe ek_pool_run(
      min(threads, count) - 1,
      {
        unsafe Unmanaged<TextShares>.fromOpaque($0.unsafelyUnwrapped).takeUnretainedValue()
          .takeParts()
      }, address)
    return order.withLock { $0.offset }
  }

  private func takeParts() {
    tokenizer.withWorkspace { workspace in
      var ids: [Int32] = []
      swap(&ids, &workspace.part)
      while true {
        let part = taken.wrappingAdd(1, ordering: .relaxed).oldValue
        guard part < count else { break }
        ids.removeAll(keepingCapacity: true)
        unsafe ids.reserveCapacity(parts[part].range.count + BytePairTokenizer.slack)
        var failure: DataError?
        do throws(DataError) {
          try unsafe tokenizer.encode(text, parts[part].range, special, workspace, &ids)
        } catch {
          failure = error
        }
        finish(part, &ids, failure)
      }
      swap(&ids, &workspace.part)
    }
  }

  /// Puts the ids of a part, and of those that have waited for it, where they belong; or leaves them with
  /// the part until those before it are there.
  private func finish(_ part: Int, _ ids: inout [Int32], _ failure: DataError?) {
    let placed: (offset: Int, end: Int)? = order.withLock { order in
      if let failure, part < order.failed?.part ?? .max { order.failed = (part, failure) }
      guard part == order.next else {
        unsafe swap(&ids, &parts[part].ids)
        unsafe parts[part].isWaiting = true
        return nil
      }
      let offset = order.offset
      order.offset += ids.count
      order.next += 1
      while unsafe order.next < count && parts[order.next].isWaiting {
        unsafe parts[order.next].isWaiting = false
        unsafe parts[order.next].offset = order.offset
        unsafe order.offset += parts[order.next].ids.count
        order.next += 1
      }
      return (offset, order.next)
    }
    guard let placed else { return }
    write(ids, placed.offset)
    for waiting in part + 1..<placed.end {
      unsafe write(parts[waiting].ids, parts[waiting].offset)
    }
  }

  private func write(_ ids: borrowing [Int32], _ offset: Int) {
    var offset = offset
    unsafe ids.withUnsafeBufferPointer { unsafe tokenizer.put($0, target, &offset) }
  }
}
