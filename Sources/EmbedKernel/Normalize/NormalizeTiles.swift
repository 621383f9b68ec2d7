// The fused layer tile by tile: the same walk as the plain forward's. The backward walks fixed
// chunks of it, each into parameter sums of its own, which are then added in order.

extension NativeKernels {
  static func normalize(_ pass: NormalizePass, _ plan: Plan) {
    normalize(pass, gathered: false, plan)
  }

  static func normalizeGradient(_ pass: NormalizeGradientPass, _ plan: Plan) {
    normalizeGradient(pass, gathered: false, plan)
  }

  @inline(__always)
  static func normalize(_ pass: NormalizePass, gathered: Bool, _ plan: Plan) {
    let walk = TileWalk(pass.rows)
    let work = TileWork(
      pass: pass.rows, plan: plan, walk: walk,
      placesOutside: walksByPosition && plan.traffic.prefetchRows > 0,
      visitor: NormalizeVisitor(pass: pass, gathered: gathered))
    Threads.split(walk.count, plan.threads, work)
  }

  @inline(__always)
  static func normalizeGradient(_ pass: NormalizeGradientPass, gathered: Bool, _ plan: Plan) {
    let work = GradientWork(
      pass: pass, plan: plan, walk: TileWalk(pass.forward.rows), gathered: gathered)
    Threads.split(pass.layout.chunks, plan.threads, work)
  }
}

private struct NormalizeVisitor: TileVisitor {
  let pass: NormalizePass
  let gathered: Bool

  @inline(__always)
  func visit(_ tile: EmbedTile, _ plan: Plan) {
    NativeKernels.normalize(tile, pass, gathered: gathered, plan)
  }
}

/// Chunks of a backward pass.
private struct GradientWork: ParallelWork {
  let pass: NormalizeGradientPass
  let plan: Plan
  let walk: TileWalk
  let gathered: Bool

  func run(_ range: Range<Int>) {
    let (layout, count) = (pass.layout, walk.count)
    for chunk in range {
      let partial = unsafe pass.partials + chunk * layout.stride
      unsafe partial.update(repeating: 0, count: layout.count)
      // The order of tokens in a chunk is part of the sums' definition.
      let work = unsafe TileWork(
        pass: pass.forward.rows, plan: plan, walk: walk, placesOutside: true,
        visitor: Visitor(
          pass: pass, sums: ParameterSums(partial, layout), gathered: gathered))
      work.run(chunk * count / layout.chunks..<(chunk + 1) * count / layout.chunks)
    }
  }

  private struct Visitor: TileVisitor {
    let pass: NormalizeGradientPass
    let sums: ParameterSums
    let gathered: Bool

    @inline(__always)
    func visit(_ tile: EmbedTile, _ plan: Plan) {
      NativeKernels.normalizeGradient(tile, pass, sums, gathered: gathered, plan)
    }
  }
}

/// Adds segment rows to rows that are already in the output.
struct AddSegments: ParallelWork {
  let pass: NormalizePass

  func run(_ range: Range<Int>) {
    guard let segments = unsafe pass.segments else { return }
    let dim = pass.dim
    for token in range {
      let row = unsafe segments + pass.segment(token) &* dim
      let output = unsafe pass.rows.output + token &* dim
      for i in 0..<dim { unsafe output[i] += row[i] }
    }
  }
}

/// target[i] += partials[0][i] + partials[1][i] + ..., the chunks in order
@safe struct AddPartials: ParallelWork {
  let target: UnsafeMutablePointer<Float>
  let partials: UnsafePointer<Float>
  let layout: PartialLayout

  func run(_ range: Range<Int>) {
    for i in range {
      var sum = unsafe partials[i]
      var at = i
      for _ in 1..<layout.chunks {
        at &+= layout.stride
        unsafe sum += partials[at]
      }
      unsafe target[i] += sum
    }
  }
}
