// What the backward of bags is about, beside its input: the gradient of the output, and how gradients of
// a row are summed; checked against the input.

public import EmbedKernel

internal import CKernels

/// The gradient of an output `[bags, dim]`.
@usableFromInline
@safe package struct BagGradient {
  package let output: UnsafeBufferPointer<Float>
  let winners: UnsafeBufferPointer<Int32>?
  let scale: Float
  let frequencyScaling: FrequencyScaling
  let summation: Summation

  @usableFromInline
  package init(
    _ output: UnsafeBufferPointer<Float>, _ winners: UnsafeBufferPointer<Int32>?, _ scale: Float,
    _ frequencyScaling: FrequencyScaling, _ summation: Summation
  ) {
    unsafe self.output = output
    unsafe self.winners = winners
    self.scale = scale
    self.frequencyScaling = frequencyScaling
    self.summation = summation
  }

  /// Checks everything; nothing has been written when this throws.
  func check(
    _ input: BagInput, _ bags: borrowing Bags, rows: Int, dim: Int, _ kernels: Kernels
  ) throws(EmbedError) -> CheckedBags {
    for (name, value) in [("rows", rows), ("dim", dim)] where value < 1 {
      throw .invalidSize(argument: name, value: value, expected: "1 or more")
    }
    guard rows < Int(Int32.max) else {
      throw .invalidSize(argument: "rows", value: rows, expected: "1..<\(Int32.max)")
    }
    _ = try elementCount("table", rows, dim)
    guard scale.isFinite else {
      throw .invalidValue(
        argument: "gradient scale", value: Double(scale), expected: "a finite number")
    }
    let checked = try CheckedBags(input, bags, rows: rows, dim: dim, kernels)
    try unsafe checked.check("output gradient", count: output.count)
    guard input.pool == .max else {
      guard unsafe winners == nil else {
        throw .unsupported(
          argument: "winners", value: "of a \(input.pool.rawValue)", expected: "those of a maximum")
      }
      return checked
    }
    guard let winners = unsafe winners else {
      throw .unsupported(
        argument: "winners", value: "none",
        expected: "those that the forward of a maximum gave")
    }
    guard frequencyScaling == .none else {
      throw .unsupported(
        argument: "frequency scaling", value: "of a maximum", expected: "that of a sum or a mean")
    }
    try unsafe Winners.check(checked, winners)
    return checked
  }

  /// Checks that what a call writes is apart from the gradient.
  func checkApart(_ written: Memory) throws(EmbedError) {
    if written.overlaps(unsafe Memory(output.baseAddress, output.count * 4)) {
      throw .overlappingMemory(argument: "output gradient")
    }
    if let winners = unsafe winners,
      written.overlaps(unsafe Memory(winners.baseAddress, winners.count * 4))
    {
      throw .overlappingMemory(argument: "winners")
    }
  }

  /// How a call runs that reads a row of the output gradient for each id.
  func plan(_ bags: CheckedBags, _ kernels: Kernels) throws(EmbedError) -> Plan {
    let n = bags.input.ids.count
    return try Plan(
      kernels, outputBytes: elementCount("rows of ids", n, bags.dim) * 4, rows: max(1, n),
      dim: bags.dim)
  }

  /// What goes to which row.
  func prepare(
    _ bags: CheckedBags, _ workspace: inout BagWorkspace, threads: Int
  ) throws(EmbedError) -> BagMembers {
    // An empty gradient is never read.
    let rows = unsafe output.baseAddress ?? UnsafePointer(bitPattern: 64).unsafelyUnwrapped
    return try unsafe workspace.prepare(
      bags, rows,
      winners.map { unsafe $0.baseAddress ?? UnsafePointer(bitPattern: 64).unsafelyUnwrapped },
      threads: threads)
  }
}
