// What the GPT's oracle does to rows, and what each position scheme adds, each formula written out.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension ReferenceGPT {
  // MARK: Rows

  /// x[r, :] * weight + bias
  func linear(_ x: [Double], _ name: String, _ columns: Int) -> [Double] {
    let (weight, bias) = (self[name + ".weight"], self[name + ".bias"])
    let width = weight.count / columns
    let rows = x.count / width
    var output = [Double](repeating: 0, count: rows * columns)
    for r in 0..<rows {
      for c in 0..<columns { output[r * columns + c] = bias[c] }
      for i in 0..<width {
        let value = x[r * width + i]
        for c in 0..<columns { output[r * columns + c] += value * weight[i * columns + c] }
      }
    }
    return output
  }

  /// Each row less its mean, over its deviation, times a gain and plus a bias.
  func normalized(_ x: [Double], _ name: String) -> [Double] {
    let (gain, bias) = (self[name + ".weight"], self[name + ".bias"])
    var output = x
    for start in stride(from: 0, to: x.count, by: dim) {
      var (mean, variance) = (0.0, 0.0)
      for i in 0..<dim { mean += x[start + i] / Double(dim) }
      for i in 0..<dim {
        variance += (x[start + i] - mean) * (x[start + i] - mean) / Double(dim)
      }
      for i in 0..<dim {
        output[start + i] =
          (x[start + i] - mean) / (variance + 1e-5).squareRoot() * gain[i] + bias[i]
      }
    }
    return output
  }

  func add(_ part: [Double], to x: inout [Double]) {
    for i in 0..<x.count { x[i] += part[i] }
  }

  /// GELU in the form with tanh.
  static func gelu(_ x: Double) -> Double {
    x / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
  }

  /// log(sum(exp(values)))
  static func logOfSum(_ values: [Double]) -> Double {
    let largest = values.max() ?? 0
    var sum = 0.0
    for value in values { sum += exp(value - largest) }
    return largest + log(sum)
  }

  static func exponential(_ x: Double) -> Double { exp(x) }

  // MARK: Positions

  /// Rows of tokens and of absolute positions, shape `[context, dim]`.
  func input(_ ids: [Int]) -> [Double] {
    let tokens = self["wte.weight"]
    let learned = positions == .learned ? self["wpe.weight"] : []
    var x = [Double](repeating: 0, count: ids.count * dim)
    for t in 0..<ids.count {
      for i in 0..<dim {
        var value = tokens[ids[t] * dim + i]
        switch positions {
        case .learned: value += learned[t * dim + i]
        case .sinusoidal:
          // Column 2j holds a sine and column 2j + 1 the cosine of the same angle.
          let angle = Double(t) / pow(10_000, Double(i / 2 * 2) / Double(dim))
          value = value * Double(dim).squareRoot() + (i % 2 == 0 ? sin(angle) : cos(angle))
        case .none, .rope, .alibi, .t5: break
        }
        x[t * dim + i] = value
      }
    }
    return x
  }

  /// A head's queries (part 0) or keys (part 1), shape `[context, headDim]`, rotated with RoPE.
  func headRows(_ projected: [Double], part: Int, _ head: Int, _ context: Int) -> [Double] {
    let headDim = dim / heads
    let half = headDim / 2
    var rows: [Double] = []
    for t in 0..<context {
      let start = t * 3 * dim + part * dim + head * headDim
      var row = Array(projected[start..<start + headDim])
      if positions == .rope {
        // Element i of the first half and element i of the second are a point of a plane.
        for i in 0..<half {
          let angle = Double(t) / pow(10_000, 2 * Double(i) / Double(headDim))
          let (x, y) = (row[i], row[half + i])
          row[i] = x * cos(angle) - y * sin(angle)
          row[half + i] = x * sin(angle) + y * cos(angle)
        }
      }
      rows += row
    }
    return rows
  }

  /// What is added to a logit after it was scaled.
  ///
  /// - Parameter trained: T5's weights, shape `[32, heads]`.
  func bias(_ head: Int, query: Int, key: Int, _ trained: [Double]) -> Double {
    switch positions {
    case .alibi: -slope(head) * Double(abs(query - key))
    case .t5: trained[bucket(query: query, key: key) * heads + head]
    case .none, .learned, .sinusoidal, .rope: 0
    }
  }

  /// ALiBi's slope: with H heads, a power of two, 2^(-8h/H) for h in 1...H. Otherwise those of the
  /// next lower power of two, then the 1st, 3rd, 5th and so on of the next higher.
  func slope(_ head: Int) -> Double {
    var power = 1
    while power * 2 <= heads { power *= 2 }
    if head < power { return pow(2, -8 * Double(head + 1) / Double(power)) }
    let odd = 2 * (head - power) + 1
    return pow(2, -8 * Double(odd) / Double(2 * power))
  }

  /// T5's bucket of 32 with a largest distance of 128; causal models use all of them for the past,
  /// others half for each side.
  func bucket(query: Int, key: Int) -> Int {
    var (buckets, offset, distance) = (32, 0, query - key)
    if isCausal {
      distance = max(distance, 0)
    } else {
      buckets = 16
      if key > query { offset = 16 }
      distance = abs(distance)
    }
    let exact = buckets / 2
    if distance < exact { return offset + distance }
    // Logarithms to base 2 are exact where a border is a whole number.
    let part = log2(Double(distance) / Double(exact)) / log2(128 / Double(exact))
    return offset + min(buckets - 1, exact + Int(part * Double(buckets - exact)))
  }
}
