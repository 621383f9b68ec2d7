// Options that several subcommands take, and what their values mean.

internal import EmbedData
internal import EmbedKernel

/// The backend and threads of every computation.
enum ComputeOptions {
  static let backend = Option<Backend?>(
    "backend",
    .choice([("auto", nil), ("openblas", .openBLAS), ("simd", .simd), ("native", .native)]),
    "Who computes; auto takes what suits the shape and the CPU", default: nil)
  static let threads = Option(
    "threads", .threads, "Threads of a call", otherwise: "as many as the shape gains from")

  static let group = OptionGroup("Computing", [backend, threads])

  /// The kernels that the arguments ask for.
  static func kernels(_ arguments: Arguments) throws(CommandError) -> Kernels {
    Kernels(backend: try arguments[backend], threads: try arguments[threads])
  }
}

/// The tokenizer of a text.
enum TokenizerOptions {
  enum Kind: String, CaseIterable, Sendable {
    case gpt2
    case byte
  }

  /// - Parameter standard: What serves where none is asked for, in words.
  static func tokenizer(otherwise standard: String, _ note: String = "") -> Option<Kind?> {
    Option(
      "tokenizer", .cases, "GPT-2's byte-pair encoding, or a token a byte\(note)",
      otherwise: standard)
  }

  static let tokenizer = tokenizer(
    otherwise: "gpt2 where its vocabulary has been set up, else byte",
    ", which needs no vocabulary")
  static let vocabulary = Option(
    "vocabulary", .text("PATH"),
    "Folder of encoder.json and vocab.bpe, or of vocab.json and merges.txt; either of two such files; "
      + "or a tiktoken rank file. Text is cut as GPT-2 cuts it",
    otherwise: "~/.cache/embedkernel/gpt2, where scripts/setup-data puts GPT-2's")
  static let special = Option<SpecialText>(
    "special", .choice([("text", .ordinary), ("token", .recognised), ("error", .refused)]),
    "How a special token's name in the text, such as <|endoftext|>, is taken: as any text, as that "
      + "token, or as an error", default: .ordinary)
}
