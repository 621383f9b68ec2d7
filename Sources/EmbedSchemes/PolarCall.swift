// PoPE's loops over tokens and heads, split over threads: sizes by softplus, angles by the position
// and, for keys, a learned phase. In Double, rounded once.
//
// D elements of a head, 2D of its output: D cosines, D sines.

internal import EmbedKernel

/// The turn by each key's phase; empty for queries.
struct PhaseTurns: ~Copyable {
  static let range = -2 * Double.pi...0

  /// A cosine and a sine for each phase, one after the other.
  private let turns: AlignedBuffer<Double>

  init(_ embedding: PolarEmbedding, _ role: RotaryRole) throws(EmbedError) {
    var values: [Double] = []
    for value in role == .keys ? embedding.phases.values : [] {
      let phase = min(max(Double(value), Self.range.lowerBound), Self.range.upperBound)
      values += [cosine(phase), sine(phase)]
    }
    turns = try AlignedBuffer(copying: values)
  }

  /// Their address, nil for queries.
  var values: UnsafePointer<Double>? {
    unsafe turns.count > 0 ? UnsafePointer(turns.base) : nil
  }
}

/// What both directions share.
@safe struct PolarCall {
  let shape: RotaryShape
  let places: Places
  let rows: RotaryRows
  /// See `PhaseTurns`.
  let turns: UnsafePointer<Double>?

  init(
    shape: RotaryShape, places: Places, rows: RotaryRows, turns: UnsafePointer<Double>?
  ) {
    self.shape = shape
    self.places = places
    self.rows = rows
    unsafe self.turns = turns
  }

  /// Calls `body` with each vector's first element, its head and its position.
  @inline(__always)
  func eachVector(
    _ tokens: Range<Int>, _ body: (_ vector: Int, _ head: Int, _ position: Int) -> Void
  ) {
    places.forEachRun(context: shape.context, in: tokens) { start, count, position in
      for i in 0..<count {
        for head in 0..<shape.heads {
          body(shape.vector(token: start + i, head: head), head, position + i)
        }
      }
    }
  }

  /// The cosine and sine of an element's angle and phase together.
  @inline(__always)
  func turn(_ head: Int, _ j: Int, _ position: Int) -> (cosine: Double, sine: Double) {
    let row = rows.known(j, position)
    let (c, s) = (Double(row.cosine), Double(row.sine))
    guard let phase = unsafe turns.map({ unsafe $0 + 2 * (head * shape.headDim + j) }) else {
      return (c, s)
    }
    return unsafe (c * phase[0] - s * phase[1], s * phase[0] + c * phase[1])
  }
}

/// ln(1 + exp(x)) without overflow.
private func softplus(_ x: Double) -> Double {
  max(x, 0) + logarithmOfOnePlus(exponential(-abs(x)))
}

/// output[j], output[D + j] = softplus(input[j]) * cosine, sine
@safe struct PolarForward: ParallelWork {
  let call: PolarCall
  let input: UnsafePointer<Float>
  let output: UnsafeMutablePointer<Float>

  func run(_ range: Range<Int>) {
    let dim = call.shape.headDim
    call.eachVector(range) { vector, head, position in
      for j in 0..<dim {
        let size = softplus(unsafe Double(input[vector + j]))
        let (cosine, sine) = call.turn(head, j, position)
        unsafe output[2 * vector + j] = Float(size * cosine)
        unsafe output[2 * vector + dim + j] = Float(size * sine)
      }
    }
  }
}

/// Its backward; the phases' gradients are summed a chunk.
@safe struct PolarBackward: ParallelWork {
  let call: PolarCall
  let input: UnsafePointer<Float>
  let outputGradient: UnsafePointer<Float>
  let inputGradient: UnsafeMutablePointer<Float>
  let chunks: TokenChunks
  /// Heads times D numbers a chunk; nil for queries.
  let sums: UnsafeMutablePointer<Double>?

  func run(_ range: Range<Int>) {
    let dim = call.shape.headDim
    let width = call.shape.heads * dim
    for chunk in range {
      let sums = unsafe sums.map { unsafe $0 + chunk * width }
      unsafe sums?.update(repeating: 0, count: width)
      call.eachVector(chunks.range(chunk)) { vector, head, position in
        for j in 0..<dim {
          let value = unsafe Double(input[vector + j])
          let (cosine, sine) = call.turn(head, j, position)
          let along = unsafe Double(outputGradient[2 * vector + j])
          let across = unsafe Double(outputGradient[2 * vector + dim + j])
          // The slope of softplus is the logistic function.
          unsafe inputGradient[vector + j] = Float(
            (along * cosine + across * sine) / (1 + exponential(-value)))
          unsafe sums?[head * dim + j] += softplus(value) * (across * cosine - along * sine)
        }
      }
    }
  }
}
