// GPT-2's text pattern, which cuts text into pieces that merge on their own:
//
//     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// (from the published encoder.py). Run by PCRE2 with its just-in-time compiler. Three things differ
// in writing, none in what matches. Alternatives that can't match at the same place are reordered,
// likeliest first, and repeats that can't give back are possessive. Space is spelt out as Unicode's
// White_Space, since PCRE2's \s also holds U+180E. Letters and numbers that Unicode 15 to 16 added
// are named, since PCRE2 10.42 knows Unicode 14: see `UnicodeAdditions`.

internal import CPCRE2

/// The compiled pattern: immutable, shared by all threads.
@safe
package final class TextPattern: @unchecked Sendable {
  fileprivate let code: OpaquePointer
  /// False where the system forbids generated code; PCRE2 then interprets, with the same matches.
  package let isJIT: Bool

  /// How the pattern is run.
  package enum Engine: Sendable, CaseIterable {
    /// Generated code where the system allows it.
    case compiled
    /// PCRE2's interpreter.
    case interpreted
  }

  static let source: String = {
    let space =
      #"\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"#
    let letter = #"a-zA-Z\p{L}"# + UnicodeAdditions.letters
    let number = #"0-9\p{N}"# + UnicodeAdditions.numbers
    return [
      " ?[\(letter)]++", "'(?:[sdmt]|ll|ve|re)", " ?[\(number)]++",
      " ?[^\(space)\(letter)\(number)]++", "[\(space)]+(?![^\(space)])", "[\(space)]",
    ].joined(separator: "|")
  }()

  package init(engine: Engine = .compiled) throws(DataError) {
    let text = Array(Self.source.utf8)
    var number: Int32 = 0
    var offset = 0
    let compiled = unsafe pcre2_compile_8(
      text, text.count, UInt32(PCRE2_UTF) | PCRE2_UCP, &number, &offset, nil)
    guard let compiled = unsafe compiled else { throw patternFailure(number, offset) }
    unsafe code = compiled
    isJIT =
      if engine == .compiled {
        unsafe pcre2_jit_compile_8(compiled, UInt32(PCRE2_JIT_COMPLETE)) == 0
      } else {
        false
      }
  }

  deinit { unsafe pcre2_code_free_8(code) }
}

/// One thread's use of the pattern: PCRE2's match data and the stack of the generated code.
@safe
package final class TextPatternMatcher {
  private let pattern: TextPattern
  private let data: OpaquePointer
  private let context: OpaquePointer
  private let stack: OpaquePointer?
  private let bounds: UnsafeMutablePointer<Int>

  package init(_ pattern: TextPattern) throws(DataError) {
    guard let data = unsafe pcre2_match_data_create_8(1, nil),
      let context = unsafe pcre2_match_context_create_8(nil)
    else { throw patternFailure(PCRE2_ERROR_NOMEMORY, 0) }
    self.pattern = pattern
    unsafe self.data = data
    unsafe self.context = context
    unsafe stack = pcre2_jit_stack_create_8(32 << 10, 1 << 20, nil)
    unsafe bounds = pcre2_get_ovector_pointer_8(data)
    unsafe pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack))
  }

  deinit {
    unsafe pcre2_match_data_free_8(data)
    unsafe pcre2_match_context_free_8(context)
    if let stack = unsafe stack { unsafe pcre2_jit_stack_free_8(stack) }
  }

  /// The end of the piece that starts at `start`, below `count`.
  ///
  /// The text up to `count` must be well-formed UTF-8. Every character is in some alternative, so a
  /// piece starts where the one before ended.
  @inline(__always)
  package func pieceEnd(
    _ text: UnsafePointer<UInt8>, _ start: Int, _ count: Int
  ) throws(DataError) -> Int {
    let result =
      if pattern.isJIT {
        unsafe pcre2_jit_match_8(pattern.code, text, count, start, 0, data, context)
      } else {
        unsafe pcre2_match_8(
          pattern.code, text, count, start, PCRE2_NO_UTF_CHECK | UInt32(PCRE2_ANCHORED), data,
          context)
      }
    guard result > 0, unsafe bounds[0] == start, unsafe bounds[1] > start else {
      throw patternFailure(result, start)
    }
    return unsafe bounds[1]
  }
}

private func patternFailure(_ code: Int32, _ offset: Int) -> DataError {
  var text = [UInt8](repeating: 0, count: 256)
  let length = unsafe pcre2_get_error_message_8(code, &text, text.count)
  let message = String(decoding: text.prefix(max(0, Int(length))), as: UTF8.self)
  return .patternFailure(code: code, offset: offset, message: message)
}
