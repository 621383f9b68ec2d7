// Which tokenizer serves: the one asked for, or GPT-2's where its vocabulary is on this machine and
// else the byte tokenizer, which needs no file.

internal import EmbedData

/// A tokenizer and what to tell about it.
struct Vocabulary {
  let tokenizer: any Tokenizer
  let name: String
  /// Why this one serves, where that was not asked for.
  let note: String?

  /// Which tokenizer it is.
  let kind: TokenizerOptions.Kind
  /// The path of a vocabulary that was named.
  let path: String?

  /// The tokenizer that the arguments ask for.
  ///
  /// - Parameter standard: What serves where they ask for none; nil for GPT-2's where it is here.
  /// - Throws: `CommandError` where GPT-2's is asked for and not there; `DataError` for a faulty
  ///   vocabulary.
  init(_ arguments: Arguments, standard: TokenizerOptions.Kind? = nil) throws {
    let path = arguments.string(TokenizerOptions.vocabulary)
    try self.init(
      try arguments.choice(TokenizerOptions.tokenizer) ?? (path == nil ? standard : nil),
      path: path)
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
    let files = VocabularyFiles(path)
    if kind == nil, path == nil, let missing = files.missing {
      self.init(
        tokenizer: ByteTokenizer(), name: "byte", kind: .byte,
        note: "GPT-2's vocabulary is not here ('\(missing)'; scripts/setup-data fetches it), so "
          + "the byte tokenizer serves, with a vocabulary of 256")
      return
    }
    if path == nil, let missing = files.missing {
      throw CommandError.data(
        "GPT-2's vocabulary is not here: no file '\(missing)'. Run scripts/setup-data to fetch it, "
          + "name its folder with --vocabulary, or use --tokenizer byte")
    }
    self.init(
      tokenizer: try files.read(), name: path == nil ? "gpt2" : "byte pairs of '\(files.path)'",
      kind: .gpt2, path: path)
  }

  private init(
    tokenizer: any Tokenizer, name: String, kind: TokenizerOptions.Kind, path: String? = nil,
    note: String? = nil
  ) {
    self.tokenizer = tokenizer
    self.name = name
    self.kind = kind
    self.path = path
    self.note = note
  }

  /// The folder that scripts/setup-data fills.
  static var cache: String {
    (environment("XDG_CACHE_HOME") ?? (environment("HOME") ?? "") + "/.cache") + "/embedkernel"
  }

  /// Shakespeare's plays, where scripts/setup-data puts them.
  static var shakespeare: String { cache + "/shakespeare/shakespeare.txt" }

  /// The tokenizer's name and the number of its ids.
  var title: String { "\(name), vocabulary of \(grouped(tokenizer.vocabularySize))" }

  /// Tells on standard error why this tokenizer serves, if there is something to tell.
  func announce(_ command: String) {
    if let note { Report.standardError.line("embedkernel \(command): \(note)") }
  }
}

/// Where a vocabulary's files are.
private struct VocabularyFiles {
  let path: String
  private let isRankFile: Bool

  /// A path that is given, or else the cache that set-up fills.
  init(_ path: String?) {
    self.path = path ?? Vocabulary.cache + "/gpt2"
    isRankFile = path.flatMap(fileSize) != nil
  }

  private var encoder: String { path + "/encoder.json" }
  private var merges: String { path + "/vocab.bpe" }

  /// The first of the two files that is not there.
  var missing: String? { [encoder, merges].first { fileSize($0) == nil } }

  func read() throws(DataError) -> BytePairTokenizer {
    isRankFile
      ? try BytePairTokenizer(ranks: path)
      : try BytePairTokenizer(encoder: encoder, merges: merges)
  }
}

extension Tokenizer {
  /// The text of ids in quotes, with line ends and other controls escaped.
  func quoted(_ ids: some Sequence<Int32>) throws(DataError) -> String {
    EmbedCommand.quoted(try decodeText(Array(ids)))
  }
}
