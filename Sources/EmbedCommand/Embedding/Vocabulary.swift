// Which tokenizer serves: the one asked for, or GPT-2's where its vocabulary is on this machine and
// else the byte tokenizer, which needs no file.

internal import EmbedData

/// A tokenizer and what to tell about it.
struct Vocabulary {
  let tokenizer: any Tokenizer
  let name: String
  /// Which tokenizer it is.
  let kind: TokenizerOptions.Kind
  /// The path of a vocabulary that was named.
  var path: String?
  /// Why this one serves, where that was not asked for.
  var note: String?
  /// How many ids have a token.
  fileprivate var tokens = 256
}

extension Vocabulary {
  /// The tokenizer that the arguments ask for.
  ///
  /// - Parameter standard: What serves where they ask for none; nil for GPT-2's where it is here.
  /// - Throws: `CommandError` where GPT-2's is asked for and not there; `DataError` for a faulty
  ///   vocabulary.
  init(_ arguments: Arguments, standard: TokenizerOptions.Kind? = nil) throws {
    let path = try arguments[TokenizerOptions.vocabulary]
    try self.init(
      try arguments[TokenizerOptions.tokenizer] ?? (path == nil ? standard : nil), path: path)
  }

  /// A tokenizer by its kind, with a vocabulary's path where it is not the one that set-up fetches.
  init(_ kind: TokenizerOptions.Kind?, path: String?) throws {
    if kind == .byte {
      if path != nil {
        throw CommandError.usage("--vocabulary is not for the byte tokenizer, which needs none")
      }
      self.init(tokenizer: ByteTokenizer(), name: "byte", kind: .byte)
      return
    }
    if let path {
      let tokenizer = try BytePairTokenizer(vocabulary: path)
      self.init(
        tokenizer: tokenizer, name: "byte pairs of '\(path)'", kind: .gpt2, path: path,
        tokens: tokenizer.tokenCount)
      return
    }
    let files = ["encoder.json", "vocab.bpe"].map { Self.cache + "/gpt2/" + $0 }
    if let missing = files.first(where: { Folders.fileSize($0) == nil }) {
      guard kind == nil else {
        throw CommandError.data(
          "GPT-2's vocabulary is not here: no file '\(missing)'. Run scripts/setup-data to fetch it, "
            + "name its folder with --vocabulary, or use --tokenizer byte")
      }
      self.init(
        tokenizer: ByteTokenizer(), name: "byte", kind: .byte,
        note: "GPT-2's vocabulary is not here ('\(missing)'; scripts/setup-data fetches it), so "
          + "the byte tokenizer serves, with a vocabulary of 256")
      return
    }
    let tokenizer = try BytePairTokenizer(encoder: files[0], merges: files[1])
    self.init(tokenizer: tokenizer, name: "gpt2", kind: .gpt2, tokens: tokenizer.tokenCount)
  }

  /// The folder that scripts/setup-data fills.
  static var cache: String {
    (environment("XDG_CACHE_HOME") ?? (environment("HOME") ?? "") + "/.cache") + "/embedkernel"
  }

  /// Shakespeare's plays, where scripts/setup-data puts them.
  static var shakespeare: String { cache + "/shakespeare/shakespeare.txt" }

  /// The tokenizer's name and the number of its ids.
  var title: String { "\(name), vocabulary of \(grouped(tokenizer.vocabularySize))" }

  /// The rows of a table with one for each id.
  ///
  /// - Throws: `CommandError` where hardly any row would have a token: a table takes memory for each.
  func rows() throws(CommandError) -> Int {
    let size = tokenizer.vocabularySize
    guard size <= max(1 << 17, 16 * tokens) else {
      throw .data(
        "\(name) has \(plural(tokens, "token")) but ids up to \(grouped(size - 1)): a table of as many "
          + "rows would be nearly empty. Number the tokens closer together")
    }
    return size
  }

  /// The ids that have a token: those that may be drawn.
  func usedIDs() throws(CommandError) -> [Int32] {
    (0..<Int32(try rows())).filter { tokenizer.hasToken($0) }
  }

  /// What a text begins with where nothing is told: the start of a line, or in a vocabulary that can't
  /// end one, its first token.
  func beginning() throws(CommandError) -> [Int32] {
    if let line = try? tokenizer.encode("\n") { return line }
    return Array(try usedIDs().prefix(1))
  }

  /// Tells on standard error why this tokenizer serves, if there is something to tell.
  func announce(_ command: String) {
    if let note { Report.standardError.line("embedkernel \(command): \(note)") }
  }
}

extension Tokenizer {
  /// The text of ids in quotes, with line ends and other controls escaped.
  func quoted(_ ids: some Sequence<Int32>) throws(DataError) -> String {
    EmbedCommand.quoted(try decodeText(Array(ids)))
  }
}
