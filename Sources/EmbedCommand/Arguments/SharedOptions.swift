// Options that several subcommands take, and what their values mean.

internal import EmbedData
internal import EmbedKernel

/// The backend and threads of every computation.
enum ComputeOptions {
  static let backend = ChoiceOption<Backend?>(
    "backend",
    [("auto", nil), ("openblas", .openBLAS), ("simd", .simd), ("native", .native)],
    "Who computes; auto takes what suits the shape and the CPU (default auto).")
  static let threads = Option(
    "threads", "N", "Threads of a call (default: as many as the shape gains from).")

  static let group = OptionGroup("Computing", [backend.option, threads])

  /// The kernels that the arguments ask for.
  static func kernels(_ arguments: Arguments) throws(CommandError) -> Kernels {
    Kernels(
      backend: try arguments.choice(backend) ?? nil,
      threads: try arguments.integer(threads, in: 1...1024))
  }
}

/// The tokenizer of a text.
enum TokenizerOptions {
  enum Kind: String, Sendable {
    case gpt2
    case byte
  }

  static let tokenizer = ChoiceOption<Kind>(
    "tokenizer", [("gpt2", .gpt2), ("byte", .byte)],
    "GPT-2's byte-pair encoding, or a token a byte, which needs no vocabulary (default: gpt2 "
      + "where its vocabulary has been set up, else byte).")
  static let vocabulary = Option(
    "vocabulary", "PATH",
    "Folder of encoder.json and vocab.bpe, or of vocab.json and merges.txt; either of two such files; "
      + "or a tiktoken rank file. Text is cut as GPT-2 cuts it (default: ~/.cache/embedkernel/gpt2, "
      + "where scripts/setup-data puts GPT-2's).")
  static let special = ChoiceOption<SpecialText>(
    "special", [("text", .ordinary), ("token", .recognised), ("error", .refused)],
    "How a special token's name in the text, such as <|endoftext|>, is taken: as any text, as "
      + "that token, or as an error (default text).")
}
