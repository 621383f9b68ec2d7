// Dropout (Srivastava et al., JMLR 2014) whose mask is a function of seed, step and element, so
// that the backward computes it again instead of reading it from memory.

/// Zeroes a share of the elements in training and scales the rest by `1 / (1 - rate)`.
///
/// An element's fate depends on the seed, the step, and its row and column in the output `[batch *
/// context, dim]` alone: it is the same for every backend, instruction set and number of threads.
public struct Dropout: Hashable, Sendable {
  /// The share of elements that becomes 0.
  public let rate: Float

  /// Where the masks are drawn from; layers of one model take different ones.
  public let seed: UInt64

  /// Takes a share of `0..<1`; at 0 nothing is dropped and nothing is scaled.
  ///
  /// - Throws: `invalidValue` for a rate outside `0..<1`.
  public init(rate: Float, seed: UInt64) throws(EmbedError) {
    guard rate >= 0, rate < 1 else {
      throw .invalidValue(argument: "dropout rate", value: Double(rate), expected: "0..<1")
    }
    self.rate = rate
    self.seed = seed
  }

  /// The mask of a step: 32 bits decide an element, so the share is exact to 2^-33.
  func mask(step: UInt64) -> DropoutMask {
    let threshold = UInt32(clamping: Int(saturating: (Double(rate) * 0x1p32).rounded()))
    return DropoutMask(
      key: seed, stream: RandomStream.dropout &+ step, threshold: threshold,
      scale: threshold == 0 ? 1 : Float(1 / (1 - Double(rate))))
  }
}
