// Elements from one type to another: exact to Float, rounded from it.

internal import CKernels

extension Kernels {
  /// Converts each element; `output[i]` is the number nearest to `input[i]`, ties to even.
  ///
  /// Bit for bit the same for every backend and number of threads. Allocates nothing.
  ///
  /// - Parameters:
  ///   - input: Elements of any type.
  ///   - output: As many of any type; shares no memory with `input`.
  /// - Throws: `wrongElementCount` where the counts differ, `overlappingMemory`, and
  ///   `invalidSize` for less than one thread.
  @inlinable
  public func convert<
    Input: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    _ input: borrowing Input, into output: inout Output
  ) throws(EmbedError) where Input.Element: TableElement, Output.Element: TableElement {
    try unsafe input.withElements { (input) throws(EmbedError) in
      try unsafe output.withMutableElements { (output) throws(EmbedError) in
        try unsafe convert(
          UnsafeRawBufferPointer(input), Input.Element.elementType, input.count,
          UnsafeMutableRawBufferPointer(output), Output.Element.elementType, output.count)
      }
    }
  }

  @usableFromInline
  package func convert(
    _ input: UnsafeRawBufferPointer, _ inputType: ElementType, _ inputCount: Int,
    _ output: UnsafeMutableRawBufferPointer, _ outputType: ElementType, _ outputCount: Int
  ) throws(EmbedError) {
    guard inputCount == outputCount else {
      throw .wrongElementCount(
        argument: "output", expected: inputCount, shape: [inputCount], actual: outputCount)
    }
    let written = unsafe Memory(output.baseAddress, output.count)
    if written.overlaps(unsafe Memory(input.baseAddress, input.count)) {
      throw .overlappingMemory(argument: "input")
    }
    let plan = try Plan(
      self, EmbeddingShape(vocabulary: 1, batch: 1, context: outputCount, dim: 1))
    guard let from = input.baseAddress, let to = output.baseAddress else { return }
    Threads.split(
      outputCount, plan.threads,
      unsafe ConvertWork(
        plan: plan, from: from, inputType: inputType, to: to, outputType: outputType))
  }

  /// Rounds each element to one of its two 16-bit neighbours, so that the mean of many roundings
  /// is the number itself: small updates of a 16-bit table are then not lost but made now and
  /// then. `BFloat16(_:roundedBy:)` and `Half(_:roundedBy:)` say how.
  ///
  /// Element i takes 16 bits of the Philox block `(first + i) / 8`, so the result depends on seed,
  /// stream and place alone. Allocates nothing.
  ///
  /// - Parameters:
  ///   - input: Elements; a NaN stays one, infinities stay.
  ///   - output: As many elements.
  ///   - seed: The generator's key.
  ///   - stream: Separates the roundings of one seed: a step's number, for instance.
  ///   - first: The place of the first element, where the elements are a part of a table.
  /// - Throws: `wrongElementCount` where the counts differ, `invalidSize` for a negative place.
  @inlinable
  public func roundStochastically<
    Input: ReadableElements<Float> & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    _ input: borrowing Input, into output: inout Output, seed: UInt64, stream: UInt64 = 0,
    first: Int = 0
  ) throws(EmbedError) where Output.Element: SixteenBitElement {
    try unsafe input.withElements { (input) throws(EmbedError) in
      try unsafe output.withMutableElements { (output) throws(EmbedError) in
        try unsafe roundStochastically(input, output, seed, stream, first)
      }
    }
  }

  @usableFromInline
  func roundStochastically<Element: SixteenBitElement>(
    _ input: UnsafeBufferPointer<Float>, _ output: UnsafeMutableBufferPointer<Element>,
    _ seed: UInt64, _ stream: UInt64, _ first: Int
  ) throws(EmbedError) {
    guard input.count == output.count else {
      throw .wrongElementCount(
        argument: "output", expected: input.count, shape: [input.count], actual: output.count)
    }
    guard first >= 0, first <= Int.max - input.count else {
      throw .invalidSize(argument: "first", value: first, expected: "0 or more")
    }
    let plan = try Plan(
      self, EmbeddingShape(vocabulary: 1, batch: 1, context: input.count, dim: 1))
    let work = unsafe StochasticWork(
      input: input, output: output, generator: Philox4x32(seed: seed), stream: stream, first: first)
    Threads.split(input.count, plan.threads, work)
  }
}

/// output[i] = input[i] in another type.
@safe private struct ConvertWork: ParallelWork {
  let plan: Plan
  let from: UnsafeRawPointer
  let inputType: ElementType
  let to: UnsafeMutableRawPointer
  let outputType: ElementType

  func run(_ range: Range<Int>) {
    unsafe plan.convert(
      from + range.lowerBound * inputType.byteCount, inputType,
      to: to + range.lowerBound * outputType.byteCount, outputType, count: range.count)
  }
}

extension Plan {
  /// to[i] = from[i], rounded where `outputType` is narrower, on the calling thread.
  func convert(
    _ from: UnsafeRawPointer, _ inputType: ElementType, to: UnsafeMutableRawPointer,
    _ outputType: ElementType, count: Int
  ) {
    if inputType == outputType {
      unsafe to.copyMemory(from: from, byteCount: count * inputType.byteCount)
    } else {
      unsafe kernels.pointee.convert(
        from, inputType.code, to, outputType.code, count)
    }
  }
}

/// output[i] = input[i] rounded up or down by random bits.
@safe private struct StochasticWork<Element: SixteenBitElement>: ParallelWork {
  let input: UnsafeBufferPointer<Float>
  let output: UnsafeMutableBufferPointer<Element>
  let generator: Philox4x32
  let stream: UInt64
  let first: Int

  func run(_ range: Range<Int>) {
    var i = range.lowerBound
    while i < range.upperBound {
      let place = first + i
      let words = generator.block(UInt64(place / 8), stream: stream)
      let end = min(range.upperBound, i + 8 - place % 8)
      while i < end {
        let k = (first + i) % 8
        let noise = UInt16(truncatingIfNeeded: words[k / 2] >> (UInt32(k % 2) * 16))
        unsafe output[i] = Element(input[i], roundedBy: noise)
        i += 1
      }
    }
  }
}
