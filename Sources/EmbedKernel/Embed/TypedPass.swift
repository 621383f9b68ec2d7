// A forward call on tables or an output of two-byte elements: the float call's checks and walk, with
// other element sizes.

/// A checked call whose tables hold elements of `input` and whose output those of `output`.
///
/// The pointers of `pass` are addresses to be counted from in elements, not floats to be read: the
/// walk over the tokens is the same for every element type.
@safe struct TypedPass {
  let pass: EmbedCall
  let input: ElementType
  let output: ElementType

  /// The address of element `index` of the token table.
  @inline(__always)
  func token(_ index: Int) -> UnsafeRawPointer {
    unsafe UnsafeRawPointer(pass.tokens) + index &* input.byteCount
  }

  /// The address of element `index` of the position table.
  @inline(__always)
  func position(_ index: Int) -> UnsafeRawPointer? {
    unsafe pass.positions.map { unsafe UnsafeRawPointer($0) + index &* input.byteCount }
  }

  /// The address of element `index` of the output.
  @inline(__always)
  func output(_ index: Int) -> UnsafeMutableRawPointer {
    unsafe UnsafeMutableRawPointer(pass.output) + index &* output.byteCount
  }
}

/// A tile of such a call.
@safe struct TypedTile {
  /// The nest; its pointers are the pass's, to count from.
  let nest: EmbedTile
  let pass: TypedPass

  /// The position row of the first token, or with position ids the table's first row.
  var positions: UnsafeRawPointer? {
    guard let start = unsafe nest.positions, let base = unsafe pass.pass.positions else {
      return nil
    }
    return unsafe pass.position(start - base)
  }
}

extension TypedPass {
  /// Embeds by the plan's C kernels, whatever its backend.
  func embed(_ plan: Plan) {
    let walk = TileWalk(pass)
    let work = TileWork(
      pass: pass, plan: plan, walk: walk, placesOutside: plan.traffic.prefetchRows > 0,
      visitor: TypedVisitor(pass: self))
    Threads.split(walk.count, plan.threads, work)
  }
}

/// Embeds each tile.
private struct TypedVisitor: TileVisitor {
  let pass: TypedPass

  @inline(__always)
  func visit(_ tile: EmbedTile, _ plan: Plan) {
    plan.embed(TypedTile(nest: tile, pass: pass))
  }
}

extension TypedPass {
  /// The sum with ids and positions resolved by the options' policies, row by row.
  func embedRowByRow(threads: Int) {
    Threads.split(pass.tokenCount, threads) { range in
      TypedRowByRow(pass: self, range: range).run(input, output)
    }
  }
}

private struct TypedRowByRow: TypedBody {
  let pass: TypedPass
  let range: Range<Int>

  func run<Input: SIMDElement, Output: SIMDElement>(_ input: Input.Type, _ output: Output.Type) {
    let call = pass.pass
    let (dim, options) = (call.dim, call.options)
    call.places.forEachRun(context: call.shape.context, in: range) { start, count, position in
      for token in start..<start + count {
        let id = call.ids[token]
        let isKnown = id >= 0 && id < call.shape.vocabulary
        let isZero = !isKnown && options.unknownIDs == .zeroRow
        let row = max(0, min(id, call.shape.vocabulary - 1)) * dim
        let place = min(position + token - start, call.maximum - 1)
        for i in 0..<dim {
          var value = unsafe isZero ? 0 : Input.load(pass.token(row + i)) * options.scale
          if unsafe call.positions != nil, let address = unsafe pass.position(place * dim + i) {
            unsafe value += Input.load(address)
          }
          unsafe Output.store(value, pass.output(token * dim + i))
        }
      }
    }
  }
}
