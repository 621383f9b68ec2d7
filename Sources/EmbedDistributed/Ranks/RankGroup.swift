// Ranks as threads of one process: each posts the addresses of its pieces, copies what is for it out of the
// others' memory, and goes on when all have copied.

internal import CSystem
internal import Synchronization

/// The threads' meeting place. Counters only rise, so that a rank can be an exchange ahead of another.
@safe final class RankGroup: @unchecked Sendable {
  private let size: Int
  /// How many exchanges each rank has begun, and has ended copying.
  private let posted: UnsafeMutablePointer<Atomic<Int>>
  private let taken: UnsafeMutablePointer<Atomic<Int>>
  /// Whether a rank is reading others' memory.
  private let reading: UnsafeMutablePointer<Atomic<Bool>>
  private let isBroken = Atomic(false)
  private let posts: UnsafeMutablePointer<Post>

  /// Where a rank's pieces stand.
  @safe private struct Post: BitwiseCopyable {
    var send: UnsafeMutablePointer<UnsafeRawPointer?>
    var sendBytes: UnsafeMutablePointer<Int>
    var tag: Int32
  }

  init(size: Int) {
    self.size = size
    unsafe posted = .allocate(capacity: size)
    unsafe taken = .allocate(capacity: size)
    unsafe reading = .allocate(capacity: size)
    unsafe posts = .allocate(capacity: size)
    for rank in 0..<size {
      unsafe (posted + rank).initialize(to: Atomic(0))
      unsafe (taken + rank).initialize(to: Atomic(0))
      unsafe (reading + rank).initialize(to: Atomic(false))
    }
  }

  deinit {
    unsafe posted.deinitialize(count: size)
    unsafe taken.deinitialize(count: size)
    unsafe reading.deinitialize(count: size)
    unsafe posted.deallocate()
    unsafe taken.deallocate()
    unsafe reading.deallocate()
    unsafe posts.deallocate()
  }

  /// Makes all further exchanges fail.
  func fail() { isBroken.store(true, ordering: .sequentiallyConsistent) }

  func exchange(
    _ rank: Int, _ pieces: borrowing Exchange, _ timeOut: Double, _ operation: String
  ) throws(DistributedError) {
    unsafe posts[rank] = Post(
      send: pieces.send, sendBytes: pieces.sendBytes, tag: tag(of: operation))
    let number = unsafe posted[rank].wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
    try unsafe wait(for: posted, number, pieces, timeOut, operation)

    // Whoever breaks the group waits until nobody reads; whoever reads has seen that it is whole.
    unsafe reading[rank].store(true, ordering: .sequentiallyConsistent)
    var fault: DistributedError?
    if isBroken.load(ordering: .sequentiallyConsistent) {
      fault = .broken(operation: operation)
    } else {
      fault = copy(rank, pieces, operation)
    }
    unsafe reading[rank].store(false, ordering: .sequentiallyConsistent)
    if let fault {
      breakUp()
      throw fault
    }
    unsafe taken[rank].store(number, ordering: .sequentiallyConsistent)
    try unsafe wait(for: taken, number, pieces, timeOut, operation)
  }

  private func copy(
    _ rank: Int, _ pieces: borrowing Exchange, _ operation: String
  ) -> DistributedError? {
    for peer in 0..<size {
      let post = unsafe posts[peer]
      guard post.tag == tag(of: operation) else {
        return .transport(
          operation: operation, reason: "rank \(peer) makes another call than rank \(rank)")
      }
      let (bytes, expected) = unsafe (post.sendBytes[rank], pieces.receiveBytes[peer])
      guard bytes == expected else {
        return .transport(
          operation: operation,
          reason: "rank \(peer) sent rank \(rank) \(bytes) bytes, where \(expected) are expected")
      }
      guard bytes > 0, let from = unsafe post.send[rank], let to = unsafe pieces.receive[peer]
      else { continue }
      unsafe to.copyMemory(from: from, byteCount: bytes)
    }
    return nil
  }

  /// Waits until all ranks' counters have got to `number`.
  private func wait(
    for counters: UnsafeMutablePointer<Atomic<Int>>, _ number: Int, _ pieces: borrowing Exchange,
    _ timeOut: Double, _ operation: String
  ) throws(DistributedError) {
    let start = ContinuousClock.now
    var peer = 0
    var tries = 0
    while peer < size {
      if unsafe counters[peer].load(ordering: .sequentiallyConsistent) >= number {
        peer += 1
        continue
      }
      if isBroken.load(ordering: .sequentiallyConsistent) {
        breakUp()
        throw .broken(operation: operation)
      }
      tries += 1
      guard tries > 64 else {
        _ = sched_yield()
        continue
      }
      _ = usleep(30)
      guard ContinuousClock.now - start > .seconds(timeOut) else { continue }
      let late = (0..<size).filter {
        unsafe counters[$0].load(ordering: .sequentiallyConsistent) < number
      }
      breakUp()
      throw .timeOut(ranks: late, operation: operation, seconds: timeOut)
    }
  }

  /// Breaks the group, and waits until nobody reads this rank's memory.
  private func breakUp() {
    fail()
    for peer in 0..<size {
      while unsafe reading[peer].load(ordering: .sequentiallyConsistent) { _ = usleep(30) }
    }
  }
}
