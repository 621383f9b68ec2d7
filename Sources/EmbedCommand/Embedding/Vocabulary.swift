// Which tokenizer serves: the one asked for, or GPT-2's where its vocabulary is on this machine and
// else the byte tokenizer, which needs no file.

internal import EmbedData

/// A tokenizer and what to tell about it.
struct Vocabulary {
  let tokenizer: any Tokenizer
  let name: String
  /// Why this one serves, where that was not asked for.
  let note: String?

  /// The tokenizer that the arguments ask for.
  ///
  /// - Throws: `CommandError` where GPT-2's is asked for and not there; `DataError` for a faulty
  ///   vocabulary.
  init(_ arguments: Arguments) throws {
    let kind = try arguments.choice(TokenizerOptions.tokenizer)
    let path = arguments.string(TokenizerOptions.vocabulary)
    if kind == .byte {
      if path != nil {
        throw CommandError.usage("--vocabulary is not for the byte tokenizer, which needs none")
      }
      self.init(tokenizer: ByteTokenizer(), name: "byte", note: nil)
      return
    }
    let files = VocabularyFiles(path)
    if kind == nil, path == nil, let missing = files.missing {
      self.init(
        tokenizer: ByteTokenizer(), name: "byte",
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
      note: nil)
  }

  private init(tokenizer: any Tokenizer, name: String, note: String?) {
    self.tokenizer = tokenizer
    self.name = name
    self.note = note
  }

  /// The folder that scripts/setup-data fills.
  static var cache: String {
    (environment("XDG_CACHE_HOME") ?? (environment("HOME") ?? "") + "/.cache") + "/embedkernel"
  }

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
