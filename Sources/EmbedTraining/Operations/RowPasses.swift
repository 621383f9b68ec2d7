// The row operations in C, each split over threads.
//
// N rows, D dim.

internal import CKernels
internal import EmbedKernel

/// A normalisation's parameters and what its forward keeps for its backward.
@safe struct NormRows {
  let gamma: UnsafeMutablePointer<Float>
  let beta: UnsafeMutablePointer<Float>
  /// Of each row.
  let mean: UnsafeMutablePointer<Float>
  let rstd: UnsafeMutablePointer<Float>
}

/// output = norm(input), N rows.
@safe struct LayerNormForward: PassWork {
  let input: UnsafeMutablePointer<Float>
  let norm: NormRows
  let output: UnsafeMutablePointer<Float>
  let dim: Int

  func run(_ range: Range<Int>) {
    let start = range.lowerBound
    unsafe RowKernels.table.pointee.layer_norm(
      input + start * dim, norm.gamma, norm.beta, output + start * dim, norm.mean + start,
      norm.rstd + start, range.count, dim, GPTConfiguration.epsilon)
  }
}

/// inputGradient += the gradient of the input; each chunk of rows sums its own gradients of gamma and
/// beta, so that the result is the same for every number of threads.
@safe struct LayerNormBackward: PassWork {
  let gradient: UnsafeMutablePointer<Float>
  let input: UnsafeMutablePointer<Float>
  let norm: NormRows
  let inputGradient: UnsafeMutablePointer<Float>
  /// `[chunks, 2, dim]`.
  let sums: UnsafeMutablePointer<Float>
  let rows: Int
  let dim: Int

  static let chunks = 16

  func run(_ range: Range<Int>) {
    for chunk in range {
      let start = chunk * rows / Self.chunks
      let count = (chunk + 1) * rows / Self.chunks - start
      let sum = unsafe sums + chunk * 2 * dim
      unsafe sum.update(repeating: 0, count: 2 * dim)
      unsafe RowKernels.table.pointee.layer_norm_backward(
        gradient + start * dim, input + start * dim, norm.gamma, norm.mean + start,
        norm.rstd + start, inputGradient + start * dim, sum, sum + dim, count, dim)
    }
  }

  /// Runs the pass and adds the chunks' sums, in order, to the parameters' gradients.
  func run(threads: Int, _ parameters: NormParameters, _ writing: GradientWriting) {
    Parallel.rows(Self.chunks, threads, self)
    let gamma = unsafe parameters.weight.gradientMatrix.base
    let beta = unsafe parameters.bias.gradientMatrix.base
    if writing == .overwrite {
      unsafe gamma.update(repeating: 0, count: dim)
      unsafe beta.update(repeating: 0, count: dim)
    }
    unsafe RowKernels.table.pointee.sum_columns(sums, 2 * dim, gamma, Self.chunks, dim)
    unsafe RowKernels.table.pointee.sum_columns(sums + dim, 2 * dim, beta, Self.chunks, dim)
  }
}

/// output = GELU(input), N rows.
@safe struct GELUForward: PassWork {
  let input: UnsafeMutablePointer<Float>
  let output: UnsafeMutablePointer<Float>
  let dim: Int

  func run(_ range: Range<Int>) {
    let start = range.lowerBound * dim
    unsafe RowKernels.table.pointee.gelu(input + start, output + start, range.count * dim)
  }
}

/// gradient *= GELU'(input), N rows.
@safe struct GELUBackward: PassWork {
  let input: UnsafeMutablePointer<Float>
  let gradient: UnsafeMutablePointer<Float>
  let dim: Int

  func run(_ range: Range<Int>) {
    let start = range.lowerBound * dim
    unsafe RowKernels.table.pointee.gelu_backward(
      input + start, gradient + start, range.count * dim)
  }
}

/// output = input + a row, or the row alone: a product is then added to it.
@safe struct BiasRows: PassWork {
  /// Nil for zero.
  let input: UnsafeMutablePointer<Float>?
  let bias: UnsafeMutablePointer<Float>
  let output: UnsafeMutablePointer<Float>
  let dim: Int

  func run(_ range: Range<Int>) {
    let start = range.lowerBound * dim
    if let input = unsafe input {
      unsafe RowKernels.table.pointee.add_row(input + start, bias, output + start, range.count, dim)
    } else {
      unsafe RowKernels.table.pointee.fill_rows(bias, output + start, range.count, dim)
    }
  }
}

/// output += a row * weight, split by columns: a product of one row reads the weight once, so that there
/// is nothing to gain by packing it.
@safe struct RowProduct: PassWork {
  let input: UnsafeMutablePointer<Float>
  /// `[depth, columns]`, or `[columns, depth]` transposed.
  let weight: StridedMatrix
  let output: UnsafeMutablePointer<Float>

  private static let unit = 64

  private var columns: Int { weight.isTransposed ? weight.rows : weight.columns }

  func run(threads: Int) { Parallel.rows((columns + Self.unit - 1) / Self.unit, threads, self) }

  func run(_ range: Range<Int>) {
    let start = range.lowerBound * Self.unit
    let count = min(columns, range.upperBound * Self.unit) - start
    let (kernels, stride) = unsafe (RowKernels.table, weight.stride)
    if weight.isTransposed {
      unsafe kernels.pointee.dot_rows(
        input, 0, weight.base + start * stride, stride, output + start, count, weight.columns)
    } else {
      unsafe kernels.pointee.add_product(
        input, weight.base + start, stride, output + start, weight.rows, count)
    }
  }
}

/// The gradient of a bias: the sum of N rows, split by columns, so that it is the same for every
/// number of threads.
@safe struct ColumnSums: PassWork {
  let rows: UnsafeMutablePointer<Float>
  let count: Int
  let dim: Int
  let sums: UnsafeMutablePointer<Float>
  let writing: GradientWriting

  private static let unit = 64

  func run(threads: Int) { Parallel.rows((dim + Self.unit - 1) / Self.unit, threads, self) }

  func run(_ range: Range<Int>) {
    let start = range.lowerBound * Self.unit
    let columns = min(dim, range.upperBound * Self.unit) - start
    if writing == .overwrite { unsafe (sums + start).update(repeating: 0, count: columns) }
    unsafe RowKernels.table.pointee.sum_columns(rows + start, dim, sums + start, count, columns)
  }
}

/// The loss of each row of logits, and the gradient in their place.
@safe struct CrossEntropyRows: PassWork {
  let logits: UnsafeMutablePointer<Float>
  let vocabulary: Int
  let targets: UnsafePointer<Int32>
  let losses: UnsafeMutablePointer<Float>
  /// Multiplies the gradient; nil where none is wanted.
  let scale: Float?

  func run(_ range: Range<Int>) {
    for row in range {
      let logits = unsafe logits + row * vocabulary
      let target = unsafe Int(targets[row])
      if let scale {
        unsafe losses[row] = RowKernels.table.pointee.cross_entropy_gradient(
          logits, vocabulary, target, scale)
      } else {
        unsafe losses[row] = RowKernels.table.pointee.cross_entropy(logits, vocabulary, target)
      }
    }
  }
}
