// What C is told of an error: a code and the facts of Swift's error as plain numbers and texts, set for the
// thread that called.

internal import CEmbedKernel
internal import EmbedData
internal import EmbedKernel
internal import EmbedModels
internal import EmbedRows

/// What is wrong with a call before the engine sees it.
enum CallError: Error {
  /// A pointer that is NULL or misaligned.
  case pointer(String, fault: String)
  /// A handle that names nothing of its kind.
  case handle(String)
  /// A number of a struct or an enumeration that is not known.
  case option(String, value: Int, expected: String)
  /// A caller's memory is too small for the result.
  case room(String, needed: Int, capacity: Int)
  /// A place that a list does not have.
  case index(String, value: Int, count: Int)
  /// A text that is not UTF-8.
  case text(String)
  /// A tensor that a file does not have.
  case missing(String, path: String, message: String)
}

/// Does `body`, and gives its outcome as a code.
@inline(__always)
func attempt(_ body: () throws -> Void) -> Int32 {
  do {
    try body()
    return 0
  } catch {
    return tell(error)
  }
}

/// Sets the thread's error, and gives its code.
@inline(never)
func tell(_ error: any Error) -> Int32 {
  let facts = Facts(of: error)
  unsafe facts.kind.withCString { kind in
    unsafe facts.message.withCString { message in
      unsafe facts.argument.withCString { argument in
        unsafe facts.path.withCString { path in
          var told = unsafe ek_error()
          unsafe told.code = facts.code
          unsafe told.system_code = facts.systemCode
          unsafe told.kind = kind
          unsafe told.message = message
          unsafe told.argument = argument
          unsafe told.path = path
          unsafe told.row = facts.row
          unsafe told.position = facts.position
          unsafe told.value = facts.value
          unsafe told.bound = facts.bound
          unsafe told.number = facts.number
          unsafe ekc_set_error(&told)
        }
      }
    }
  }
  return facts.code
}

/// The facts of an error.
struct Facts {
  var code = Int32(EK_ERROR_INTERNAL)
  var systemCode: Int32 = 0
  var kind = ""
  var message: String
  var argument = ""
  var path = ""
  var row = Int64.min
  var position = Int64.min
  var value = Int64.min
  var bound = Int64.min
  var number = Double.nan

  init(of error: any Error) {
    message = "\(error)"
    name(error)
    switch error {
    case let error as CallError: take(error)
    case let error as EmbedError: take(error)
    case let error as FileError: take(error)
    case let error as SafetensorsError: take(error)
    case let error as NumPyError: take(error)
    case let error as ModelError: take(error)
    case let error as MappedTableError: take(error)
    case let error as DataError: take(error)
    default: break
    }
  }

  /// The kind is the name of the error's case, which is its first label.
  private mutating func name(_ error: any Error) {
    kind = Mirror(reflecting: error).children.first?.label ?? ""
  }

  private mutating func set(
    _ code: Int, argument: String = "", row: Int? = nil, position: Int? = nil, value: Int? = nil,
    bound: Int? = nil, number: Double = .nan, path: String = ""
  ) {
    self.code = Int32(code)
    self.argument = argument
    self.path = path
    self.row = row.map(Int64.init) ?? .min
    self.position = position.map(Int64.init) ?? .min
    self.value = value.map(Int64.init) ?? .min
    self.bound = bound.map(Int64.init) ?? .min
    self.number = number
  }

  // MARK: Of this interface

  private mutating func take(_ error: CallError) {
    switch error {
    case .pointer(let name, let fault):
      message = "\(name) is \(fault)"
      set(EK_ERROR_INVALID_POINTER, argument: name)
      kind = "invalidPointer"
    case .handle(let name):
      message = "\(name) is NULL, destroyed or a handle of another kind"
      set(EK_ERROR_INVALID_HANDLE, argument: name)
      kind = "invalidHandle"
    case .option(let name, let value, let expected):
      message = "\(name) is \(value): expected \(expected)"
      set(EK_ERROR_INVALID_OPTION, argument: name, value: value)
      kind = "invalidOption"
    case .room(let name, let needed, let capacity):
      message = "\(name) has room for \(capacity), and \(needed) are needed"
      set(EK_ERROR_BUFFER_TOO_SMALL, argument: name, value: needed, bound: capacity)
      kind = "bufferTooSmall"
    case .index(let name, let value, let count):
      message = "\(name) is \(value): expected one of 0..<\(count)"
      set(EK_ERROR_INDEX_OUT_OF_RANGE, argument: name, value: value, bound: count)
      kind = "indexOutOfRange"
    case .text(let name):
      message = "\(name) is not UTF-8"
      set(EK_ERROR_TEXT, argument: name)
      kind = "invalidText"
    case .missing(let name, let path, let text):
      message = text
      set(EK_ERROR_MISSING_TENSOR, argument: name, path: path)
      kind = "missingTensor"
    }
  }

  // MARK: Of the engine

  private mutating func take(_ error: EmbedError) {
    name(error)
    switch error {
    case .tokenOutOfRange(let id, let row, let position, let vocabulary):
      set(
        EK_ERROR_TOKEN_OUT_OF_RANGE, row: row, position: position, value: Int(id),
        bound: vocabulary)
    case .segmentOutOfRange(let id, let row, let position, let segments):
      set(
        EK_ERROR_SEGMENT_OUT_OF_RANGE, row: row, position: position, value: Int(id),
        bound: segments)
    case .positionOutOfRange(let position, let row, let index, let maximum):
      set(
        EK_ERROR_POSITION_OUT_OF_RANGE, row: row, position: index, value: position,
        bound: maximum)
    case .contextTooLong(let offset, let context, let maximum):
      set(EK_ERROR_CONTEXT_TOO_LONG, position: offset, value: context, bound: maximum)
    case .documentTooLong(let document, let length, let maximum):
      set(EK_ERROR_DOCUMENT_TOO_LONG, row: document, value: length, bound: maximum)
    case .invalidCumulativeLength(let index, let value, _):
      set(EK_ERROR_INVALID_CUMULATIVE_LENGTH, position: index, value: value)
    case .wrongElementCount(let argument, let expected, _, let actual):
      set(EK_ERROR_WRONG_ELEMENT_COUNT, argument: argument, value: actual, bound: expected)
    case .invalidSize(let argument, let value, _):
      set(EK_ERROR_INVALID_SIZE, argument: argument, value: value)
    case .invalidValue(let argument, let value, _):
      set(EK_ERROR_INVALID_VALUE, argument: argument, number: value)
    case .invalidField(let field, _, _): set(EK_ERROR_INVALID_FIELD, argument: field)
    case .distanceOutOfRange(let distance, let limit):
      set(EK_ERROR_DISTANCE_OUT_OF_RANGE, value: distance, bound: limit)
    case .unpairedDocuments:
      set(EK_ERROR_UNPAIRED_DOCUMENTS)
      kind = "unpairedDocuments"
    case .sizeOverflow(let argument, _): set(EK_ERROR_SIZE_OVERFLOW, argument: argument)
    case .overlappingMemory(let argument): set(EK_ERROR_OVERLAPPING_MEMORY, argument: argument)
    case .outOfMemory(let bytes): set(EK_ERROR_OUT_OF_MEMORY, value: bytes)
    case .invalidEnvironment(let variable, _, _):
      set(EK_ERROR_INVALID_ENVIRONMENT, argument: variable)
    case .unavailableInstructionSet(let instructions):
      set(EK_ERROR_UNAVAILABLE_INSTRUCTION_SET, argument: instructions.rawValue)
    case .unsupported(let argument, _, _): set(EK_ERROR_UNSUPPORTED, argument: argument)
    case .unavailableLibrary(let name, _): set(EK_ERROR_UNAVAILABLE_LIBRARY, argument: name)
    case .factorisationFailed(let routine, let info):
      set(EK_ERROR_FACTORISATION_FAILED, argument: routine, value: info)
    case .unreadableRow(let row, let path, let offset, _):
      set(EK_ERROR_FILE_SYSTEM, row: row, position: offset, path: path)
    }
  }

  // MARK: Of files

  private mutating func take(_ error: FileError) {
    name(error)
    switch error {
    case .system(_, let path, let code):
      let isMissing = code == noSuchFile
      set(isMissing ? EK_ERROR_FILE_NOT_FOUND : EK_ERROR_FILE_SYSTEM, path: path)
      systemCode = code
    case .notRegularFile(let path), .unsuitable(let path, _):
      set(EK_ERROR_FILE_SYSTEM, path: path)
    }
  }

  private mutating func take(_ error: SafetensorsError) {
    name(error)
    switch error {
    case .file(let file): take(file)
    case .truncatedHeader(let path, _, _), .headerTooLong(let path, _, _),
      .malformedHeader(let path, _, _), .dataSize(let path, _, _):
      set(EK_ERROR_FILE_FORMAT, path: path)
    case .duplicateName(let path, let name): set(EK_ERROR_FILE_FORMAT, argument: name, path: path)
    case .fallingOffsets(let path, let tensor, _, _), .shapeOverflow(let path, let tensor, _),
      .byteCount(let path, let tensor, _, _, _), .overlap(let path, let tensor, _, _),
      .hole(let path, let tensor, _, _):
      set(EK_ERROR_FILE_FORMAT, argument: tensor, path: path)
    case .missingTensor(let path, let expected, _):
      set(EK_ERROR_MISSING_TENSOR, argument: expected.first ?? "", path: path)
    case .elementType(let path, let tensor, _, _):
      set(EK_ERROR_ELEMENT_TYPE, argument: tensor, path: path)
    case .shape(let path, let tensor, _, _): set(EK_ERROR_SHAPE, argument: tensor, path: path)
    case .elementCount(let path, let tensor, _, let count):
      set(EK_ERROR_WRONG_ELEMENT_COUNT, argument: tensor, value: count, path: path)
    case .unexpectedTensor(let path, let tensor, _):
      set(EK_ERROR_UNSUPPORTED, argument: tensor, path: path)
    case .unwrittenTensors(let path, let tensors):
      set(EK_ERROR_UNSUPPORTED, argument: tensors.first ?? "", path: path)
    }
  }

  private mutating func take(_ error: NumPyError) {
    switch error {
    case .file(let file): take(file)
    case .elementType(let path, _, _), .unsupportedElementType(let path, _),
      .bigEndian(let path, _):
      set(EK_ERROR_ELEMENT_TYPE, path: path)
    case .rank(let path, let expected, let shape):
      set(EK_ERROR_SHAPE, value: shape.count, bound: expected, path: path)
    case .elementCount(let path, _, let count):
      set(EK_ERROR_WRONG_ELEMENT_COUNT, value: count, path: path)
    case .dataSize(let path, _, _, _), .fortranOrder(let path, _), .headerTooLong(let path, _, _),
      .malformedHeader(let path, _, _, _), .notNumPy(let path, _), .shapeOverflow(let path, _),
      .truncatedHeader(let path, _, _), .unsupportedVersion(let path, _, _):
      set(EK_ERROR_FILE_FORMAT, path: path)
    }
  }

  private mutating func take(_ error: MappedTableError) {
    switch error {
    case .model(let model): take(model)
    case .embed(let embed): take(embed)
    case .rowFormat(let path, let tensor, _, _):
      set(EK_ERROR_ELEMENT_TYPE, argument: tensor, path: path)
    case .gguf(.file(let file)): take(file)
    case .gguf(.missingTensor(let path, let expected, _)):
      set(EK_ERROR_MISSING_TENSOR, argument: expected.first ?? "", path: path)
    case .gguf(let gguf):
      let facts = Mirror(reflecting: gguf).children.first.map { Mirror(reflecting: $0.value) }
      let path = facts?.children.first { $0.label == "path" }?.value as? String
      set(EK_ERROR_FILE_FORMAT, path: path ?? "")
      name(gguf)
    }
  }

  private mutating func take(_ error: ModelError) {
    switch error {
    case .safetensors(let file): take(file)
    case .embed(let embed): take(embed)
    case .ambiguousTensor(let path, let names), .leftOut(let path, let names, _):
      set(EK_ERROR_MODEL, argument: names.first ?? "", path: path)
    case .noModel(let path), .oneShard(let path): set(EK_ERROR_MODEL, path: path)
    case .invalidShard(let path, let tensor, _):
      set(EK_ERROR_MODEL, argument: tensor, path: path)
    }
  }

  // MARK: Of text and tokens

  private mutating func take(_ error: DataError) {
    switch error {
    case .file(let file): take(file)
    case .emptyFile(let path), .partialToken(let path, _, _), .fileTooLarge(let path, _),
      .noVocabulary(let path, _), .otherPattern(let path, _, _, _):
      set(EK_ERROR_FILE_FORMAT, path: path)
    case .malformedVocabulary(let path, let line, _):
      set(EK_ERROR_FILE_FORMAT, position: line, path: path)
    case .byteWithoutToken(let byte, let offset):
      set(EK_ERROR_TEXT, position: offset, value: Int(byte))
    case .tokenIDOutOfRange(let token, let id, let limit):
      set(EK_ERROR_SPECIAL_TOKEN, argument: token, value: id, bound: limit)
    case .conflictingToken(let token, let id, _):
      set(EK_ERROR_SPECIAL_TOKEN, argument: token, value: id)
    case .specialTokenInText(let token, let offset):
      set(EK_ERROR_SPECIAL_TOKEN, argument: token, position: offset)
    case .unknownToken(let id, let position, let size):
      set(EK_ERROR_UNKNOWN_TOKEN, position: position, value: Int(id), bound: size)
    case .tokenTooLarge(let value, let position, let limit):
      set(EK_ERROR_TOKEN_OUT_OF_RANGE, position: position, value: Int(value), bound: Int(limit))
    case .pieceTooLong(let offset, let bytes, let limit):
      set(EK_ERROR_TEXT, position: offset, value: bytes, bound: limit)
    case .patternFailure(_, let offset, _): set(EK_ERROR_TEXT, position: offset)
    case .invalidSetting(let name, let value, _):
      set(EK_ERROR_INVALID_SIZE, argument: name, value: value)
    case .batchOutOfRange(let index, let count):
      set(EK_ERROR_INDEX_OUT_OF_RANGE, argument: "batch", value: index, bound: count)
    case .rangeOutOfBounds(_, let upper, let count):
      set(EK_ERROR_INDEX_OUT_OF_RANGE, argument: "range", value: upper, bound: count)
    case .bufferTooSmall(let name, let count, let needed):
      set(EK_ERROR_BUFFER_TOO_SMALL, argument: name, value: needed, bound: count)
    case .overlappingBuffers(let first, _):
      set(EK_ERROR_OVERLAPPING_MEMORY, argument: first)
    case .outOfMemory(let bytes): set(EK_ERROR_OUT_OF_MEMORY, value: bytes)
    }
  }
}

/// ENOENT, which is 2 on every system there is.
private let noSuchFile: Int32 = 2
