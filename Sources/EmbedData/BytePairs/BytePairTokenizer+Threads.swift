// One large text over several threads. It is cut where a piece certainly ends, each part is encoded on its
// own, by whichever thread is free, and the ids are put together in order: those of the whole text.

internal import CThreadPool
internal import Synchronization

extension BytePairTokenizer {
  /// The bytes of a part: enough that handing it over costs nothing, and few enough to share out evenly.
  private static let partSize = 1 << 17
  /// Parts for each thread that are encoded before their ids are put together.
  private static let partsInTurn = 8

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
    if let threads, threads < 1 {
      throw .invalidSetting(name: "threads", value: threads, requirement: "at least 1")
    }
    let threads = threads ?? Int(ek_available_cpus())
    guard threads > 1, bytes.count >= 2 * Self.partSize else {
      return try encode(bytes, special: special, into: &ids)
    }
    let start = ids.count
    do throws(DataError) {
      try unsafe bytes.withUnsafeBufferPointer { buffer throws(DataError) in
        guard let text = buffer.baseAddress else { return }
        let turn = unsafe Turn(self, text, special, parts: threads * Self.partsInTurn)
        var position = 0
        while position < buffer.count {
          position = unsafe cuts(text, from: position, buffer.count, turn)
          try turn.encode(threads, into: &ids)
        }
      }
    } catch {
      ids.removeLast(ids.count - start)
      throw error
    }
  }

  /// Gives a turn its parts; returns where the last one ends.
  private func cuts(
    _ text: UnsafePointer<UInt8>, from start: Int, _ count: Int, _ turn: Turn
  ) -> Int {
    turn.count = 0
    var position = start
    while position < count, turn.count < turn.ranges.count {
      var end = position + Self.partSize
      // A part goes on where there is no place to cut it.
      while end < count {
        if let place = unsafe boundary(text, before: end, from: position, count) {
          end = place
          break
        }
        end += Self.partSize
      }
      end = min(end, count)
      turn.ranges[turn.count] = position..<end
      turn.count += 1
      position = end
    }
    return position
  }
}

/// Parts of a text that threads encode at once, and what they came to.
@safe private final class Turn: @unchecked Sendable {
  private struct Outcome {
    var ids: [Int32] = []
    var error: DataError?
  }

  private let tokenizer: BytePairTokenizer
  private let text: UnsafePointer<UInt8>
  private let special: SpecialText
  var ranges: [Range<Int>]
  var count = 0
  /// Each is one thread's at a time.
  private let outcomes: UnsafeMutablePointer<Outcome>
  private let taken = Atomic(0)

  init(
    _ tokenizer: BytePairTokenizer, _ text: UnsafePointer<UInt8>, _ special: SpecialText, parts: Int
  ) {
    self.tokenizer = tokenizer
    unsafe self.text = text
    self.special = special
    ranges = Array(repeating: 0..<0, count: parts)
    unsafe outcomes = .allocate(capacity: parts)
    unsafe outcomes.initialize(repeating: Outcome(), count: parts)
  }

  deinit {
    unsafe outcomes.deinitialize(count: ranges.count)
    unsafe outcomes.deallocate()
  }

  /// Encodes the parts and appends their ids in order; throws the first error of the text.
  func encode(_ threads: Int, into ids: inout [Int32]) throws(DataError) {
    taken.store(0, ordering: .relaxed)
    let address = unsafe Unmanaged.passUnretained(self).toOpaque()
    unsafe ek_pool_run(
      min(threads, count) - 1,
      { unsafe Unmanaged<Turn>.fromOpaque($0.unsafelyUnwrapped).takeUnretainedValue().takeParts() },
      address)
    var total = ids.count
    for part in 0..<count {
      if let error = unsafe outcomes[part].error { throw error }
      unsafe total += outcomes[part].ids.count
    }
    if total > ids.capacity { ids.reserve(max(total, ids.capacity * 2)) }
    for part in 0..<count { unsafe ids.append(contentsOf: outcomes[part].ids) }
  }

  private func takeParts() {
    tokenizer.withWorkspace { workspace in
      while true {
        let part = taken.wrappingAdd(1, ordering: .relaxed).oldValue
        guard part < count else { return }
        unsafe outcomes[part].ids.removeAll(keepingCapacity: true)
        do throws(DataError) {
          try unsafe tokenizer.encode(
            text, ranges[part], special, workspace, &outcomes[part].ids)
        } catch {
          unsafe outcomes[part].error = error
        }
      }
    }
  }
}
