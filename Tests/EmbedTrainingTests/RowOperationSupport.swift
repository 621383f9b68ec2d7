// The row operations of each instruction set that this CPU has, over guarded rows of seeded samples.

import CKernels
import EmbedTraining

/// An instruction set's operations, or those that the library chooses.
enum RowSet: CaseIterable, Sendable {
  case chosen
  case plain
  case neon
  case neonbf16
  case avx2
  case avx512
  case avx512bf16

  /// Those that this CPU has.
  static let available = allCases.filter { unsafe $0.table != nil }

  private var table: UnsafePointer<ek_kernels>? {
    switch self {
    case .chosen: unsafe RowKernels.table
    case .plain: unsafe ek_kernels_for(EK_PLAIN)
    case .neon: unsafe ek_kernels_for(EK_NEON)
    case .neonbf16: unsafe ek_kernels_for(EK_NEON_BF16)
    case .avx2: unsafe ek_kernels_for(EK_AVX2)
    case .avx512: unsafe ek_kernels_for(EK_AVX512)
    case .avx512bf16: unsafe ek_kernels_for(EK_AVX512_BF16)
    }
  }

  var operations: ek_kernels { unsafe table.unsafelyUnwrapped.pointee }
}

/// Floats between two guards, off the alignment of vectors.
@safe final class GuardedFloats {
  private static let before = 3
  private static let after = 37
  private static let mark: Float = 12345.678
  private let start: UnsafeMutablePointer<Float>
  private let count: Int

  init(_ values: [Float]) {
    let marks = { (count: Int) in [Float](repeating: Self.mark, count: count) }
    let all = marks(Self.before) + values + marks(Self.after)
    count = values.count
    unsafe start = .allocate(capacity: all.count)
    for i in all.indices { unsafe (start + i).initialize(to: all[i]) }
  }

  convenience init(zeros count: Int) { self.init([Float](repeating: 0, count: count)) }

  deinit { unsafe start.deallocate() }

  var pointer: UnsafeMutablePointer<Float> { unsafe start + Self.before }

  var values: [Float] { read(Self.before..<Self.before + count) }

  /// Whether nothing was written outside the values.
  var guardsHold: Bool {
    let end = Self.before + count
    return (read(0..<Self.before) + read(end..<end + Self.after)).allSatisfy { $0 == Self.mark }
  }

  private func read(_ range: Range<Int>) -> [Float] { range.map { unsafe start[$0] } }
}

/// Seeded samples, uniform within `range`.
func rowSamples(_ count: Int, seed: UInt64, in range: ClosedRange<Float> = -3...3) -> [Float] {
  var state = seed
  return (0..<count).map { _ in
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    let unit = Float((z ^ (z >> 31)) >> 40) * 0x1p-24
    return range.lowerBound + (range.upperBound - range.lowerBound) * unit
  }
}

/// The first element that is further from its reference than its bound, or that is no number.
func firstBeyond(_ values: [Float], _ expected: [Double], _ bound: (Int) -> Double) -> String? {
  for i in expected.indices {
    let error = abs(Double(values[i]) - expected[i])
    if !(error <= bound(i)) {
      return "[\(i)]: \(values[i]) for \(expected[i]), off by \(error), bound \(bound(i))"
    }
  }
  return nil
}

/// One rounding, relative.
let rounding = Double(Float.ulpOfOne) / 2

/// The roundings of a sum of `count` by 64 lanes, relative to the sum of magnitudes.
func sumRoundings(_ count: Int) -> Double { Double(count) / 64 + 8 }

extension [Float] {
  var doubles: [Double] { map(Double.init) }
}

extension [Double] {
  /// The mean of the magnitudes.
  var meanMagnitude: Double { reduce(0) { $0 + abs($1) } / Double(count) }
}
