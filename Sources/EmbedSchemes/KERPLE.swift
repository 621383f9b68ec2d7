// KERPLE: distance penalties from conditionally positive definite kernels, with two trained numbers
// a head. Chi et al., "KERPLE: Kernelized Relative Positional Embedding for Length Extrapolation",
// 2022.
//
// H heads, n = |query position - key position|.

internal import CSystem
public import EmbedKernel

/// The bias -p·ln(1 + a·n), or -a·n^p, with p and a trained for each head.
public final class KERPLE: TrainedDistanceBias {
  /// The kernel.
  public enum Kernel: String, CaseIterable, Sendable {
    /// -p·ln(1 + a·n).
    case logarithmic
    /// -a·n^p, p at most 2.
    case power
  }

  /// The kernel.
  public let kernel: Kernel
  /// The parameters, shape `[2, heads]`: p of each head, then a of each.
  ///
  /// Both are taken as at least 0.01, and p of the power kernel as at most 2; a gradient is taken at
  /// the value so limited, so training can bring a parameter back.
  public let parameters: EmbeddingTable<Float>

  /// A bias over `parameters`, shape `[2, heads]`; it is shared, not copied.
  ///
  /// - Throws: `invalidSize` where there are not two rows.
  public init(_ kernel: Kernel, parameters: EmbeddingTable<Float>) throws(EmbedError) {
    guard parameters.rows == 2 else {
      throw .invalidSize(
        argument: "rows of KERPLE's parameters", value: parameters.rows, expected: "2")
    }
    self.kernel = kernel
    self.parameters = parameters
  }

  /// `kerple-logarithmic` or `kerple-power`.
  public var name: String { "kerple-\(kernel.rawValue)" }
  /// The columns of the parameters.
  public var heads: Int? { parameters.dim }
  /// Two a head.
  public var parameterCount: Int { 2 * parameters.dim }

  private func limited(_ head: Int) -> (p: Double, a: Double) {
    let p = max(0.01, Double(parameters[0, head]))
    return (kernel == .power ? min(2, p) : p, max(0.01, Double(parameters[1, head])))
  }

  /// The kernel at the distance's magnitude.
  public func value(head: Int, distance: Int) -> Double {
    let (p, a) = limited(head)
    let n = Double(distance.magnitude)
    return kernel == .logarithmic ? -p * log1p(a * n) : -a * pow(n, p)
  }

  /// Adds the slopes of p and a.
  public func addGradient(
    head: Int, distance: Int, weight: Double, into gradient: UnsafeMutableBufferPointer<Float>
  ) {
    guard distance != 0 else { return }
    let (p, a) = limited(head)
    let n = Double(distance.magnitude)
    let (slopeP, slopeA) =
      kernel == .logarithmic
      ? (-log1p(a * n), -p * n / (1 + a * n)) : (-a * log(n) * pow(n, p), -pow(n, p))
    unsafe gradient[head] += Float(weight * slopeP)
    unsafe gradient[parameters.dim + head] += Float(weight * slopeA)
  }
}
