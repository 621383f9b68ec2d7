// The fused layer of the pure Swift backend, backward. With g = dropout(gradient),
// xhat = (x - mean) * reciprocal and h = g * gamma:
//
//   d(x) = reciprocal * (h - mean(h) - xhat * mean(h * xhat))
//
// without mean(h) for the root mean square; d(gamma) adds g * xhat and d(beta) adds g.

extension SIMDKernels {
  static func normalizeGradient(
    _ tile: EmbedTile, _ pass: NormalizeGradientPass, _ sums: ParameterSums, gathered: Bool,
    _ plan: Plan
  ) {
    switch pass.forward.norm.kind {
    case .none: backward(tile, pass, sums, gathered: gathered, .none)
    case .layer: backward(tile, pass, sums, gathered: gathered, .layer)
    case .rootMeanSquare: backward(tile, pass, sums, gathered: gathered, .rootMeanSquare)
    }
  }

  @inline(__always)
  private static func backward(
    _ tile: EmbedTile, _ pass: NormalizeGradientPass, _ sums: ParameterSums, gathered: Bool,
    _ kind: NormKind
  ) {
    let (dim, forward) = (tile.dim, pass.forward)
    let (norm, mask) = (forward.norm, forward.dropout)
    let groups = (dim &+ 63) / 64
    tile.forEachToken { token, place in
      let row = NormRow(tile, forward, token, place, gathered: gathered)
      let statistics = row.measure(kind, norm.epsilon)
      let gradient = unsafe pass.gradient + token &* dim
      let output = unsafe tile.output + token &* dim
      var words = MaskWords()

      /// The gradient at `i` behind the mask; calls come in rising order of `i`.
      @inline(__always)
      func kept(_ i: Int, _ n: Int) -> SIMD16<Float> {
        let g = unsafe load(gradient, i, n)
        if mask.threshold == 0 { return g }
        if i & 63 == 0 { words = MaskWords(mask, group: token &* groups &+ i / 64) }
        return words.keep(g, i, mask)
      }

      var (meanH, meanHX) = (Float(0), Float(0))
      if kind != .none, let gammaSums = unsafe sums.gamma, let gamma = unsafe norm.gamma {
        var (sumH, sumHX) = (LaneSums(), LaneSums())
        forEachVector(dim) { i, n in
          let (g, xhat) = (kept(i, n), statistics.normal(row.x(i, n), kind))
          let h = unsafe g * load(gamma, i, n)
          unsafe save(load(gammaSums, i, n) + g * xhat, gammaSums, i, n)
          if let betaSums = unsafe sums.beta {
            unsafe save(load(betaSums, i, n) + g, betaSums, i, n)
          }
          if kind == .layer { sumH.add(h, i, n) }
          sumHX.add(h * xhat, i, n)
        }
        if kind == .layer { meanH = sumH.total / Float(dim) }
        meanHX = sumHX.total / Float(dim)
      }
      let segment = unsafe sums.segments.map { unsafe $0 + forward.segment(token) &* dim }
      forEachVector(dim) { i, n in
        var d = kept(i, n)
        if kind != .none {
          unsafe d *= load(norm.gamma.unsafelyUnwrapped, i, n)
          if kind == .layer { d -= meanH }
          d = (d - statistics.normal(row.x(i, n), kind) * meanHX) * statistics.reciprocal
        }
        if let segment = unsafe segment { unsafe save(load(segment, i, n) + d, segment, i, n) }
        unsafe save(d, output, i, n)
      }
    }
  }
}
