// Whether the kernels that OpenBLAS chose are those that suit the CPU: an older OpenBLAS doesn't know a
// newer CPU, and takes the oldest kernels it has.

/// The core whose kernels OpenBLAS runs, beside what the CPU has.
package struct BLASCore {
  /// What x86-64 kernels are written for, in rising order.
  private enum Vectors: Int {
    case sse, avx, avx2, avx512
    var name: String { ["SSE", "AVX", "AVX2", "AVX-512"][rawValue] }
    /// A core with such kernels that every OpenBLAS of recent years has.
    var core: String { ["Nehalem", "Sandybridge", "Haswell", "SkylakeX"][rawValue] }
  }

  private static let cores: [Vectors: [String]] = [
    .sse: [
      "katmai", "coppermine", "northwood", "banias", "prescott", "core2", "penryn", "dunnington",
      "nehalem",
      "athlon", "opteron", "opteron_sse3", "barcelona", "bobcat", "atom", "nano",
    ],
    .avx: ["sandybridge", "bulldozer", "piledriver", "steamroller"],
    .avx2: ["haswell", "zen", "excavator"],
    .avx512: ["skylakex", "cooperlake", "sapphirerapids"],
  ]

  /// What to tell of it, and how to mend it; nil where the kernels suit the CPU or nothing is known.
  ///
  /// - Parameters:
  ///   - core: The name that OpenBLAS gives.
  ///   - features: The CPU's, by the names that Linux has for them.
  ///   - chosen: What the environment says, if it does.
  package static func advice(core: String, features: [String], chosen: String?) -> String? {
    let name = core.lowercased()
    guard let runs = cores.first(where: { $0.value.contains(name) })?.key else { return nil }
    let has: Vectors =
      features.contains("avx512f")
      ? .avx512
      : features.contains("avx2") && features.contains("fma")
        ? .avx2 : features.contains("avx") ? .avx : .sse
    guard runs.rawValue < has.rawValue else { return nil }
    let fault = "\(core)'s kernels are for \(runs.name), where this CPU has \(has.name): "
    let mend = "run with OPENBLAS_CORETYPE=\(has.core), if embedkernel info --check passes with it"
    if let chosen { return fault + "OPENBLAS_CORETYPE=\(chosen) says so. Unset it, or \(mend)" }
    return fault + "OpenBLAS does not know this CPU. A newer one may; or \(mend)"
  }
}
