// The one error type of this library. Every case carries the facts that a message needs to be acted
// upon: the path, the line or byte position, the offending value, and what was expected.

@_exported public import EmbedFiles

/// What can be wrong with text, vocabularies, token files and loader settings.
public enum DataError: FileWrappingError, Equatable, Sendable {
  /// The file system refused.
  case file(FileError)
  /// The file at `path` holds no bytes.
  case emptyFile(path: String)
  /// The size of a token file is not a multiple of its token width.
  case partialToken(path: String, bytes: Int, width: Int)
  /// A file that is read whole is larger than any of its kind.
  case fileTooLarge(path: String, limit: Int)
  /// No vocabulary can be told from the path.
  case noVocabulary(path: String, reason: String)
  /// A vocabulary is for text that is cut otherwise than GPT-2's: `count` of its tokens, one of them
  /// `example`, can't arise.
  case otherPattern(path: String, example: String, count: Int, of: Int)
  /// A vocabulary file breaks its format at `line` (from 1).
  case malformedVocabulary(path: String, line: Int, reason: String)
  /// The text holds a byte that no token stands for; `offset` is in bytes.
  case byteWithoutToken(byte: UInt8, offset: Int)
  /// A special token's id is negative or over `limit`.
  case tokenIDOutOfRange(token: String, id: Int, limit: Int)
  /// A special token is empty, or repeats the name or id of another token.
  case conflictingToken(token: String, id: Int, reason: String)
  /// Text contains the special token `token`, which the caller refused; `offset` is in bytes.
  case specialTokenInText(token: String, offset: Int)
  /// An id to decode is in no vocabulary entry; `position` counts ids.
  case unknownToken(id: Int32, position: Int, vocabularySize: Int)
  /// A token does not fit the file's element type, or exceeds the ids that can be read back.
  case tokenTooLarge(value: Int64, position: Int, limit: Int64)
  /// A run of text without a boundary is too long to merge.
  case pieceTooLong(offset: Int, bytes: Int, limit: Int)
  /// The regular expression engine failed; `code` is PCRE2's, `offset` the byte position.
  case patternFailure(code: Int32, offset: Int, message: String)
  /// A loader setting is outside its range, or a product of settings overflows.
  case invalidSetting(name: String, value: Int, requirement: String)
  /// A batch index is outside `0..<count`.
  case batchOutOfRange(index: Int, count: Int)
  /// A range of tokens is outside the source.
  case rangeOutOfBounds(lower: Int, upper: Int, count: Int)
  /// A caller's buffer holds `count` elements where `needed` are to be written.
  case bufferTooSmall(name: String, count: Int, needed: Int)
  /// Two buffers to be written share memory.
  case overlappingBuffers(first: String, second: String)
  /// There is no memory for `bytes` more.
  case outOfMemory(bytes: Int)
}

extension DataError: CustomStringConvertible {
  /// A sentence with all of the facts, for people.
  public var description: String {
    switch self {
    case .file(let error):
      error.description
    case .emptyFile(let path):
      "\(path) is empty"
    case .partialToken(let path, let bytes, let width):
      "\(path) has \(bytes) bytes, which is not a multiple of the \(width) bytes of a token"
    case .fileTooLarge(let path, let limit):
      "\(path) has more than \(limit) bytes, which none of its kind has"
    case .noVocabulary(let path, let reason):
      "no vocabulary at \(path): \(reason)"
    case .otherPattern(let path, let example, let count, let total):
      "\(path) is for text that is cut otherwise than for GPT-2, and would give wrong ids: \(count) of "
        + "its \(total) tokens, such as \(example.debugDescription), are in no piece of GPT-2's pattern"
    case .malformedVocabulary(let path, let line, let reason):
      "\(path), line \(line): \(reason)"
    case .byteWithoutToken(let byte, let offset):
      "the vocabulary has no token for the byte \(byte), which the text has at byte \(offset)"
    case .tokenIDOutOfRange(let token, let id, let limit):
      "the token '\(token)' has the id \(id), outside 0...\(limit)"
    case .conflictingToken(let token, let id, let reason):
      "the token '\(token)' with the id \(id) \(reason)"
    case .specialTokenInText(let token, let offset):
      "the text contains the special token '\(token)' at byte \(offset)"
    case .unknownToken(let id, let position, let vocabularySize):
      "the id \(id) at position \(position) is in no entry of the vocabulary of \(vocabularySize)"
    case .tokenTooLarge(let value, let position, let limit):
      "the id \(value) at position \(position) is outside 0...\(limit)"
    case .pieceTooLong(let offset, let bytes, let limit):
      "the run of \(bytes) bytes at byte \(offset) has no boundary; the limit is \(limit)"
    case .patternFailure(let code, let offset, let message):
      "the text pattern failed at byte \(offset): \(message) (PCRE2 code \(code))"
    case .invalidSetting(let name, let value, let requirement):
      "\(name) is \(value); it must be \(requirement)"
    case .batchOutOfRange(let index, let count):
      "batch \(index) is outside the loader's \(count) batches"
    case .rangeOutOfBounds(let lower, let upper, let count):
      "the range \(lower)..<\(upper) is outside the \(count) tokens"
    case .bufferTooSmall(let name, let count, let needed):
      "\(name) holds \(count) elements; \(needed) are needed"
    case .overlappingBuffers(let first, let second):
      "\(first) and \(second) share memory"
    case .outOfMemory(let bytes):
      "there is no memory for \(bytes) bytes"
    }
  }
}
