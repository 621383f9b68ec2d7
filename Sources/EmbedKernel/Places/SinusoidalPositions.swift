// Sinusoidal absolute positions: sines and cosines of each place at geometrically falling
// frequencies (Vaswani et al., "Attention Is All You Need", 2017). Nothing is trained, and any
// place has a row.
//
// Angles are built in Double and rounded once: a place of 1,000,000 is as exact as place 1, where a
// product in Float would be wrong in the third digit.

internal import CSystem

/// Where the sines and cosines of a row stand, and how the frequencies fall.
public enum SinusoidLayout: String, CaseIterable, Sendable {
  /// sin, cos, sin, cos, ...; frequency i is base^(-2i/dim). The paper's form.
  case interleaved
  /// All sines, then all cosines; the same frequencies.
  case concatenated
  /// All sines, then all cosines; frequency i is base^(-i/(dim/2 - 1)), so the last is 1/base.
  /// The form of tensor2tensor, fairseq and MLX.
  case tensor2tensor
}

extension AbsolutePositions {
  /// Sines and cosines for `maximum` places, fixed.
  ///
  /// - Parameter base: The ratio of the longest to the shortest wavelength.
  public static func sinusoidal(
    maximum: Int, layout: SinusoidLayout = .interleaved, base: Double = 10_000
  ) -> AbsolutePositions {
    AbsolutePositions(name: "sinusoidal", isTrained: false) { (dim, _) throws(EmbedError) in
      try sinusoids(rows: maximum, dim: dim, layout: layout, base: base)
    }
  }

  /// The rows of the places `first, first + 1, ...`, shape `[rows, dim]`.
  ///
  /// In the interleaved layout an odd dim ends with a sine; in the others with a zero, as in
  /// fairseq.
  ///
  /// - Throws: `invalidValue` for a base that is not finite and above 0, `invalidSize`.
  public static func sinusoids(
    rows: Int, dim: Int, layout: SinusoidLayout = .interleaved, base: Double = 10_000,
    first: Int = 0
  ) throws(EmbedError) -> EmbeddingTable<Float> {
    guard base.isFinite, base > 0 else {
      throw .invalidValue(argument: "base", value: base, expected: "a finite number above 0")
    }
    let table = try EmbeddingTable<Float>(rows: rows, dim: dim)
    let frequencies = layout.frequencies(dim: dim, base: base)
    Threads.split(rows, rows * dim < 1 << 14 ? 1 : Threads.available) { range in
      for row in range {
        for (i, frequency) in frequencies.enumerated() {
          let angle = (Double(first) + Double(row)) * frequency
          let (sine, cosine) = layout.columns(i, dim: dim)
          unsafe table.unsafeBuffer[row * dim + sine] = Float(sin(angle))
          if let cosine { unsafe table.unsafeBuffer[row * dim + cosine] = Float(cos(angle)) }
        }
      }
    }
    return table
  }
}

extension SinusoidLayout {
  /// Radians per place of each sine.
  package func frequencies(dim: Int, base: Double) -> [Double] {
    switch self {
    case .interleaved:
      (0..<(dim + 1) / 2).map { pow(base, -2 * Double($0) / Double(dim)) }
    case .concatenated:
      (0..<dim / 2).map { pow(base, -2 * Double($0) / Double(dim)) }
    case .tensor2tensor:
      (0..<dim / 2).map { pow(base, -Double($0) / Double(max(dim / 2 - 1, 1))) }
    }
  }

  /// The columns of sine `i` and of its cosine, which an odd dim's last sine lacks.
  fileprivate func columns(_ i: Int, dim: Int) -> (sine: Int, cosine: Int?) {
    switch self {
    case .interleaved: (2 * i, 2 * i + 1 < dim ? 2 * i + 1 : nil)
    case .concatenated, .tensor2tensor: (i, dim / 2 + i)
    }
  }
}
