// A value behind a lock: POSIX's, as the thread sanitizer can't see into Synchronization's `Mutex` and
// would report every second access to what it guards.

internal import CThreadPool

/// A value that one thread at a time reads or changes. Allocates the lock and the value once.
@safe package struct Guarded<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
  private let lock: OpaquePointer
  private let value: UnsafeMutablePointer<Value>

  package init(_ value: consuming sending Value) {
    guard let lock = unsafe ek_lock_make() else { fatalError("no memory for a lock") }
    unsafe self.lock = lock
    unsafe self.value = .allocate(capacity: 1)
    unsafe self.value.initialize(to: value)
  }

  deinit {
    unsafe value.deinitialize(count: 1)
    unsafe value.deallocate()
    unsafe ek_lock_free(lock)
  }

  /// Calls `body` with the value while no other thread has it. `body` must not take the same lock.
  @inline(__always)
  package borrowing func withLock<Result: ~Copyable, Failure: Error>(
    _ body: (inout Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    unsafe ek_lock_take(lock)
    defer { unsafe ek_lock_give(lock) }
    return try unsafe body(&value.pointee)
  }
}
