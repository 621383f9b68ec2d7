// What the forward tests share: every way to run a pass, and comparing bits.

import EmbedKernel
import Foundation
import Testing

/// One way to run a pass: backend, threads, instruction set, and the traffic that sizes would give.
struct Way: Sendable, CustomStringConvertible {
  let kernels: Kernels
  let traffic: String

  init(kernels: Kernels, tuning: Tuning = Tuning(), traffic: String = "as sized") {
    var kernels = kernels
    kernels.tuning = tuning
    self.kernels = kernels
    self.traffic = traffic
  }

  var description: String {
    let set = kernels.instructionSet.map { " \($0.rawValue)" } ?? ""
    return
      "\(kernels.backend?.rawValue ?? "auto")\(set), threads \(kernels.threads ?? 0), \(traffic)"
  }

  /// Every backend and instruction set of this machine, with small sizes treated as small, and as
  /// large ones are: prefetched, streamed past the cache, split over threads.
  static let all: [Way] = {
    var large = Tuning()
    (large.parallelBytes, large.streamingBytes, large.prefetchBytes) = (0, 0, 0)
    large.byPositionBytes = 0
    var kernels = [Kernels.auto, .openBLAS, .simd]
    kernels += InstructionSet.allCases.filter(\.isAvailable).map {
      Kernels(backend: .native, instructionSet: $0)
    }
    return kernels.flatMap { kernels in
      [1, 3].flatMap { threads in
        [
          Way(kernels: kernels.threads(threads)),
          Way(kernels: kernels.threads(threads), tuning: large, traffic: "as if large"),
        ]
      }
    }
  }()
}

/// Runs a pass on copies of the arrays that start `misalignment` floats past a 64-byte boundary.
func embed<ID: TokenID>(
  _ way: Way, ids: [ID], tokens: [Float], positions: [Float]?, shape: EmbeddingShape,
  at place: PositionIDs = .sequential(), options: EmbedOptions = EmbedOptions(),
  misalignment: Int = 0
) throws -> [Float] {
  func copy(_ values: [Float]) throws -> AlignedBuffer<Float> {
    let buffer = try AlignedBuffer<Float>(count: values.count + misalignment)
    unsafe _ = tail(buffer, misalignment).update(fromContentsOf: values)
    return buffer
  }
  let count = shape.batch * shape.context * shape.dim
  let guardBand = 64
  let canary = Float(bitPattern: 0x7FC0_BEEF)
  let tokenBuffer = try copy(tokens)
  let positionBuffer = try copy(positions ?? [])
  let output = try copy([Float](repeating: canary, count: count + guardBand))
  try unsafe ids.withUnsafeBufferPointer { ids in
    try unsafe way.kernels.embed(
      TokenIDs(ids), Elements(UnsafeBufferPointer(tail(tokenBuffer, misalignment))),
      positions == nil ? nil : Elements(UnsafeBufferPointer(tail(positionBuffer, misalignment))),
      shape, place, options,
      Elements(UnsafeBufferPointer(rebasing: tail(output, misalignment)[..<count])))
  }
  for i in 0..<guardBand where output[misalignment + count + i].bitPattern != canary.bitPattern {
    Issue.record("\(way) wrote past the output of shape \(shape)")
  }
  return unsafe Array(tail(output, misalignment)[..<count])
}

private func tail(
  _ buffer: borrowing AlignedBuffer<Float>, _ start: Int
) -> UnsafeMutableBufferPointer<Float> {
  unsafe UnsafeMutableBufferPointer(rebasing: buffer.unsafeBuffer[start...])
}

/// Expects equal bits, and names the first element that differs.
func expectSameBits(_ actual: [Float], _ expected: [Float], _ what: @autoclosure () -> String) {
  guard actual.count == expected.count else {
    Issue.record("\(what()): \(actual.count) elements instead of \(expected.count)")
    return
  }
  // Compared whole first: an element loop is slow in debug builds.
  let same = unsafe actual.withUnsafeBytes { a in
    unsafe expected.withUnsafeBytes { b in
      guard let a = a.baseAddress, let b = b.baseAddress else { return true }
      return unsafe memcmp(a, b, actual.count * 4) == 0
    }
  }
  if same { return }
  for i in 0..<actual.count where actual[i].bitPattern != expected[i].bitPattern {
    Issue.record("\(what()): element \(i) is \(actual[i]) instead of \(expected[i])")
    return
  }
}
