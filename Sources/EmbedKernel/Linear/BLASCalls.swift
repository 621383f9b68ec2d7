// What is asked of OpenBLAS, call by call: how tests see that threads change no call.

internal import CBLASCalls

/// A call into BLAS or LAPACK.
package struct BLASCall: Hashable, Sendable, CustomStringConvertible {
  package let routine: String
  /// Which factors are read transposed.
  package let transposed: [Bool]
  package let sizes: [Int32]
  package let strides: [Int32]
  package let factors: [Double]

  package var description: String {
    "\(routine)(\(transposed.map { $0 ? "T" : "N" }.joined()) \(sizes) by \(strides), \(factors))"
  }

  /// The calls of the process while `body` runs: for each address that a result goes to, those that wrote
  /// there, in order. Calls of threads to different addresses have no order among them, so the
  /// lists are sorted.
  package static func recorded(by body: () throws -> Void) rethrows -> [[BLASCall]] {
    recording.withLock { $0 = [:] }
    unsafe ek_blas_observe { unsafe BLASCall.note($0) }
    defer { ek_blas_observe(nil) }
    try body()
    let lists = recording.withLock { Array($0.values) }
    return lists.map { ($0, $0.description) }.sorted { $0.1 < $1.1 }.map(\.0)
  }

  private static let recording = Guarded([UInt: [BLASCall]]())

  private static func note(_ call: UnsafePointer<ek_blas_call>?) {
    guard let call = unsafe call?.pointee else { return }
    let made = unsafe BLASCall(
      routine: String(cString: call.routine), transposed: [call.transposed.0, call.transposed.1],
      sizes: [call.sizes.0, call.sizes.1, call.sizes.2],
      strides: [call.strides.0, call.strides.1, call.strides.2],
      factors: [call.factors.0, call.factors.1])
    let target = unsafe UInt(bitPattern: call.target)
    recording.withLock { $0[target, default: []].append(made) }
  }
}
