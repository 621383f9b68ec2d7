// Threads of the test's process that work together, as ranks do.

import Foundation
import Synchronization

/// What `body` gives or throws on each of `count` threads, in the order of their numbers.
public func onThreads<Value: Sendable>(
  _ count: Int, _ body: @escaping @Sendable (Int) throws -> Value
) -> [Result<Value, any Error>] {
  let results = Mutex([Result<Value, any Error>?](repeating: nil, count: count))
  let ended = DispatchSemaphore(value: 0)
  for number in 0..<count {
    let thread = Thread {
      let result = Result { try body(number) }
      results.withLock { $0[number] = result }
      ended.signal()
    }
    thread.stackSize = 8 << 20
    thread.start()
  }
  for _ in 0..<count { ended.wait() }
  return results.withLock { $0.compactMap { $0 } }
}
