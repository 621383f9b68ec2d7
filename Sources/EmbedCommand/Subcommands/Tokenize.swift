// `tokenize`: a text file to a file of token ids, in constant memory.

internal import EmbedData

/// Writes the token ids of a text.
enum Tokenize: Subcommand {
  static let output = Option("output", .text("BIN"), "Where the ids go", needed: "FILE.bin")
  static let width = Option<TokenWidth?>(
    "width", .choice([("uint16", .uint16), ("uint32", .uint32)]), "Type of an id in the file",
    otherwise: "the narrowest that holds the vocabulary")

  static let name = "tokenize"
  static let summary = "Token ids of a text, to a .bin file."
  static let usage = ["FILE --output FILE.bin [OPTIONS]"]
  static let about = [
    "Writes the ids of the text FILE one after another, little-endian, without a header. Memory "
      + "stays small however long the text is, also in one line or without a space."
  ]
  static let operandNames = ["FILE"]
  static let groups = [
    OptionGroup("Output", [output, width]),
    OptionGroup(
      "Tokenizer",
      [TokenizerOptions.tokenizer, TokenizerOptions.vocabulary, TokenizerOptions.special]),
  ]

  static func run(_ arguments: Arguments) throws {
    let source = arguments.operands[0]
    let target = try arguments[output]
    let special = try arguments[TokenizerOptions.special]
    let vocabulary = try Vocabulary(arguments)
    vocabulary.announce(name)
    if special == .recognised, vocabulary.tokenizer.specialTokens.isEmpty {
      Report.standardError.line(
        "embedkernel \(name): the vocabulary has no special tokens: names of some are taken as text"
      )
    }
    let start = ContinuousClock.now
    let summary = try TokenFile.write(
      tokenizing: source, with: vocabulary.tokenizer, special: special, to: target,
      width: arguments[width],
      progress: ProgressBar(label: "Tokenizing", total: Folders.fileSize(source)))
    let seconds = (.now - start) / .seconds(1)

    var tokens = grouped(summary.tokens)
    if summary.tokens > 0 {
      tokens += ", \(fixed(Double(summary.bytes) / Double(summary.tokens), 2)) bytes each"
    }
    Report.standardError.table(
      Table(facts: [
        "text": "'\(source)', \(formatted(bytes: summary.bytes))", "tokenizer": vocabulary.title,
        "tokens": tokens,
        "written": "'\(target)', uint\(summary.width.rawValue * 8), "
          + formatted(bytes: summary.tokens * summary.width.rawValue),
        "time": "\(formatted(seconds: seconds)), "
          + "\(fixed(Double(summary.bytes) / seconds / 1e6, 1)) MB/s",
      ]))
  }
}
