// What can be wrong with a call's data: one case a fault, carrying the facts a user needs to find
// it. Every error but the last is thrown before a byte of output is written.

/// A fault in the data given to EmbedKernel.
public enum EmbedError: Error, Equatable, Sendable {
  /// An id is negative or not below the vocabulary size.
  case tokenOutOfRange(id: Int64, batchRow: Int, position: Int, vocabulary: Int)

  /// A segment id is negative or not below the number of segments.
  case segmentOutOfRange(id: Int64, batchRow: Int, position: Int, segments: Int)

  /// A token's position is negative or past the last row of the position table.
  case positionOutOfRange(position: Int, batchRow: Int, index: Int, maximum: Int)

  /// A sequence starting at `offset` runs past the longest context the positions have.
  case contextTooLong(offset: Int, context: Int, maximum: Int)

  /// A document of a packed batch is longer than the longest context the positions have.
  case documentTooLong(document: Int, length: Int, maximum: Int)

  /// Cumulative lengths do not start at 0, fall, or do not end at the number of tokens.
  case invalidCumulativeLength(index: Int, value: Int, expected: String)

  /// An argument has the wrong number of elements for the shape it stands for.
  case wrongElementCount(argument: String, expected: Int, shape: [Int], actual: Int)

  /// A size is zero or negative where that has no meaning.
  case invalidSize(argument: String, value: Int, expected: String)

  /// A number is not finite or outside its range.
  case invalidValue(argument: String, value: Double, expected: String)

  /// A field of a model's configuration is missing, of the wrong type or outside its range.
  case invalidField(field: String, found: String, expected: String)
  /// A distance between a query and a key is longer than a table has or can have entries for.
  case distanceOutOfRange(distance: Int, limit: Int)

  /// Of queries and keys, one has packed documents and the other has not.
  case unpairedDocuments

  /// The product of some sizes does not fit in memory.
  case sizeOverflow(argument: String, factors: [Int])

  /// The output shares memory with an input.
  case overlappingMemory(argument: String)

  /// The machine has no memory left for a buffer.
  case outOfMemory(bytes: Int)

  /// An environment variable has a value that is not understood.
  case invalidEnvironment(variable: String, value: String, expected: String)

  /// The CPU, or this build, lacks an instruction set that was asked for.
  case unavailableInstructionSet(InstructionSet)

  /// An option has no meaning, or none together with the others.
  case unsupported(argument: String, value: String, expected: String)

  /// A library that is opened when it is needed is missing or is not usable.
  case unavailableLibrary(name: String, reason: String)

  /// A LAPACK routine found that a matrix has no factorisation.
  case factorisationFailed(routine: String, info: Int)

  /// A row of a mapped file is lost, or the file changed; thrown after output without meaning was written.
  case unreadableRow(row: Int, path: String, offset: Int, reason: String)
}

extension EmbedError: CustomStringConvertible {
  /// The fault in a sentence, with the offending value and its place.
  public var description: String {
    switch self {
    case .tokenOutOfRange(let id, let batchRow, let position, let vocabulary):
      "token id \(id) at batch row \(batchRow), position \(position) is outside the vocabulary "
        + "of \(vocabulary) (valid ids: 0...\(vocabulary - 1))"
    case .segmentOutOfRange(let id, let batchRow, let position, let segments):
      "segment id \(id) at batch row \(batchRow), position \(position) is outside the "
        + "\(segments) segments (valid ids: 0...\(segments - 1))"
    case .positionOutOfRange(let position, let batchRow, let index, let maximum):
      "position \(position) of the token at batch row \(batchRow), position \(index) is outside "
        + "the position table of \(maximum) rows"
    case .contextTooLong(let offset, let context, let maximum):
      "context \(context) at position offset \(offset) needs \(offset) + \(context) positions, "
        + "but the maximum is \(maximum)"
    case .documentTooLong(let document, let length, let maximum):
      "document \(document) of the packed batch has \(length) tokens, but the maximum context "
        + "is \(maximum)"
    case .invalidCumulativeLength(let index, let value, let expected):
      "cumulative length \(value) at index \(index): expected \(expected)"
    case .wrongElementCount(let argument, let expected, let shape, let actual):
      "\(argument) has \(actual) elements, but shape \(shape) needs \(expected)"
    case .invalidSize(let argument, let value, let expected):
      "\(argument) is \(value): expected \(expected)"
    case .invalidValue(let argument, let value, let expected):
      "\(argument) is \(value.legible): expected \(expected)"
    case .invalidField(let field, let found, let expected):
      "configuration field \(field) is \(found): expected \(expected)"
    case .distanceOutOfRange(let distance, let limit):
      "the distance \(distance) between a query and a key is past the limit of \(limit)"
    case .unpairedDocuments:
      "one of queries and keys has packed documents: expected both or neither"
    case .sizeOverflow(let argument, let factors):
      "\(argument) of shape \(factors) is too large to address"
    case .overlappingMemory(let argument):
      "the output overlaps the memory of \(argument)"
    case .outOfMemory(let bytes):
      "no memory for a buffer of \(bytes) bytes"
    case .invalidEnvironment(let variable, let value, let expected):
      "environment variable \(variable) is '\(value)': expected \(expected)"
    case .unavailableInstructionSet(let set):
      "instruction set \(set.rawValue) is not available on this CPU or in this build"
    case .unsupported(let argument, let value, let expected):
      "\(argument): '\(value)' is not supported: expected \(expected)"
    case .unavailableLibrary(let name, let reason):
      "\(name) cannot be used: \(reason)"
    case .factorisationFailed(let routine, let info):
      "LAPACK \(routine) failed with info \(info)"
    case .unreadableRow(let row, let path, let offset, let reason):
      "row \(row), at byte \(offset) of '\(path)', cannot be read: \(reason)"
    }
  }
}

/// The product of `factors`, or an error that names them when it cannot be addressed as floats.
@inline(__always)
package func elementCount(
  _ argument: @autoclosure () -> String, _ a: Int, _ b: Int, _ c: Int = 1
) throws(EmbedError) -> Int {
  let (ab, overflowAB) = a.multipliedReportingOverflow(by: b)
  let (abc, overflowABC) = ab.multipliedReportingOverflow(by: c)
  guard !overflowAB, !overflowABC, abc <= Int.max / MemoryLayout<Double>.stride else {
    throw .sizeOverflow(argument: argument(), factors: [a, b, c])
  }
  return abc
}

/// The number of elements of a table, which has a row and a column at least.
func tableSize(_ argument: @autoclosure () -> String, _ rows: Int, _ dim: Int) throws(EmbedError)
  -> Int
{
  guard rows > 0 else { throw .invalidSize(argument: "rows", value: rows, expected: "1 or more") }
  guard dim > 0 else { throw .invalidSize(argument: "dim", value: dim, expected: "1 or more") }
  return try elementCount(argument(), rows, dim)
}
