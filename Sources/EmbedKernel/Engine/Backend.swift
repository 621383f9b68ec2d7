// The waist of the engine: what a backend does, the one list of backends, and the C backend, which does
// just that by the plan's instruction set. Layers know no backend, backends know no layer. A new backend is
// a type with this protocol, its parts beside the operations, and a line in `Backend`.

internal import CKernels

/// A kernel implementation.
public enum Backend: String, CaseIterable, Sendable {
  /// Gather, then `cblas_saxpy`.
  case openBLAS = "openblas"
  /// Swift's SIMD types.
  case simd
  /// C kernels for the CPU's instruction set.
  case native

  var kernels: any BackendKernels.Type {
    switch self {
    case .openBLAS: OpenBLASKernels.self
    case .simd: SIMDKernels.self
    case .native: NativeKernels.self
    }
  }
}

/// One way to compute the kernels. All ways give the same bits, but where it is said otherwise.
protocol BackendKernels: DistanceKernels {
  /// output[b, t, :] = scale * tokens[ids[b, t], :] + positions[place(b, t), :], of floats
  static func embed(_ call: EmbedCall, _ plan: Plan)

  /// For each table, rows (+)= factor * sum of the output gradients of their tokens.
  static func backward(_ call: BackwardCall, _ plan: Plan)

  /// output[:] (+)= factor * sum of rows; in the order that the sum names, which is left as it is.
  static func sum(_ sum: inout ek_row_sum, _ plan: Plan)

  /// The same for each of many groups of rows.
  static func sumGroups(_ groups: ek_group_sum, _ plan: Plan)

  /// Ends a thread's part: what it wrote past the cache is visible to others afterwards.
  static func finish(_ plan: Plan)

  /// Rotates the pairs of a nest of rows: (a, b) becomes (a*c - b*s, b*c + a*s). The same bits for all
  /// but OpenBLAS, whose `srot` fuses multiplication and addition.
  static func rotate(_ tile: ek_rotary_tile, _ plan: Plan)

  /// output[n, :] = dropout(norm(x[n, :])), x being the sum above plus a segment row
  static func normalize(_ call: NormalizeCall, _ plan: Plan)

  /// The backward of `normalize`, whose parameter gradients accumulate in fixed chunks.
  static func normalizeGradient(_ call: NormalizeGradientCall, _ plan: Plan)
}

/// What is the same for all backends, and what a backend needn't do itself: C does it, by the plan's
/// instruction set, which is the portable one for other backends than `native`.
extension BackendKernels {
  static func backward(_ call: BackwardCall, _ plan: Plan) {
    BackwardWork<Self>.run(call, plan)
  }

  static func sumGroups(_ groups: ek_group_sum, _ plan: Plan) {
    for group in groups.begin..<groups.end {
      let start = unsafe Int(groups.offsets[group])
      let count = unsafe Int(groups.offsets[group &+ 1]) &- start
      if groups.skips_lone && count == 1 { continue }
      var sum = groups.sum
      sum.count = count
      unsafe sum.indices = groups.members + start
      unsafe sum.factors = sum.factors.map { unsafe $0 + start }
      let row = unsafe groups.row_ids.map { unsafe Int($0[group]) } ?? group
      unsafe sum.output += row &* sum.stride
      if groups.divides_by_count { sum.factor /= Float(count) }
      Self.sum(&sum, plan)
    }
  }

  static func finish(_ plan: Plan) {
    if plan.traffic.streaming { ek_store_fence() }
  }

  static func normalize(_ call: NormalizeCall, _ plan: Plan) {
    unsafe call.run(from: nil, plan)
  }

  static func normalizeGradient(_ call: NormalizeGradientCall, _ plan: Plan) {
    unsafe call.run(from: nil, plan)
  }
}

/// The C kernels of the plan's instruction set.
enum NativeKernels: BackendKernels {
  static func embed(_ call: EmbedCall, _ plan: Plan) { EmbedWork(EmbedWalk(call), plan).run() }

  @inline(__always)
  static func sum(_ sum: inout ek_row_sum, _ plan: Plan) {
    unsafe plan.kernels.pointee.sum_rows(&sum)
  }

  static func sumGroups(_ groups: ek_group_sum, _ plan: Plan) {
    var groups = groups
    unsafe plan.kernels.pointee.sum_groups(&groups)
  }

  static func rotate(_ tile: ek_rotary_tile, _ plan: Plan) {
    var tile = unsafe tile
    unsafe plan.kernels.pointee.rotate(&tile)
  }

  static func addByDistance(_ tile: ek_distance_tile, _ plan: Plan) {
    var tile = unsafe tile
    unsafe plan.kernels.pointee.add_by_distance(&tile)
  }

  static func sumByDistance(_ tile: ek_distance_tile, _ plan: Plan) {
    var tile = unsafe tile
    unsafe plan.kernels.pointee.sum_by_distance(&tile)
  }
}
