// The same words in two sentences: without positions a word has one vector wherever it stands; with
// them, one for each place.

internal import EmbedData
internal import EmbedKernel

/// Compares the vectors of the words that two sentences share.
struct WordComparison {
  /// A word of a sentence and where its tokens are.
  private struct Word {
    let text: String
    let ids: [Int32]
    let start: Int
  }

  /// A sentence with its vectors, `[tokens, dim]`, before and after positions are added.
  private struct Sentence {
    let name: String
    let text: String
    let ids: [Int32]
    let words: [Word]
    let before: EmbeddingTable<Float>
    let after: EmbeddingTable<Float>

    init(
      _ name: String, _ text: String, _ tokenizer: any Tokenizer, _ layer: InputEmbedding,
      _ kernels: Kernels
    ) throws {
      self.name = name
      self.text = text
      ids = try tokenizer.encode(text)
      words = try Self.words(text, tokenizer)
      let bare = try InputEmbedding(tokens: layer.tokens, positions: nil)
      before = try Self.vectors(ids, bare, kernels)
      after = try Self.vectors(ids, layer, kernels)
    }

    private static func vectors(
      _ ids: [Int32], _ layer: InputEmbedding, _ kernels: Kernels
    ) throws(EmbedError) -> EmbeddingTable<Float> {
      let table = try EmbeddingTable<Float>(rows: ids.count, dim: layer.tokens.dim)
      try table.withMutableSpan { (span) throws(EmbedError) in
        try layer.forward(ids.span, batch: 1, context: ids.count, into: &span, using: kernels)
      }
      return table
    }

    /// The words, each with the space before it, as both tokenizers take them.
    private static func words(_ text: String, _ tokenizer: any Tokenizer) throws -> [Word] {
      var words: [Word] = []
      var start = 0
      for (index, word) in text.split(separator: " ").enumerated() {
        let text = index == 0 ? String(word) : " " + word
        let ids = try tokenizer.encode(text)
        words.append(Word(text: text, ids: ids, start: start))
        start += ids.count
      }
      return words
    }
  }

  private let a: Sentence
  private let b: Sentence
  private let dim: Int

  init(_ tokenizer: any Tokenizer, _ layer: InputEmbedding, _ kernels: Kernels) throws {
    a = try Sentence("A", "The cat sat on the mat", tokenizer, layer, kernels)
    b = try Sentence("B", "On the mat the cat sat", tokenizer, layer, kernels)
    dim = layer.tokens.dim
  }

  /// Prints the comparison.
  func show(_ report: Report) throws {
    report.line()
    report.line("The same words in two sentences")
    for sentence in [a, b] {
      let ids = sentence.ids.map { "\($0)" }.joined(separator: " ")
      let lines = wrap(ids, width: 80 - 34)
      report.line("  \(sentence.name)  \(sentence.text)    ids \(lines[0])")
      for line in lines.dropFirst() {
        report.line(String(repeating: " ", count: 35) + line)
      }
    }

    report.line()
    var table = Table(.left, .left, .right, .right, .left, .left)
    table.add("word", "ids", "place in A", "in B", "before positions", "after positions")
    for first in a.words {
      for second in b.words where second.ids == first.ids {
        table.add(
          quoted(first.text), first.ids.map { "\($0)" }.joined(separator: " "),
          "\(first.start)", "\(second.start)",
          difference(a.before, b.before, first, second),
          difference(a.after, b.after, first, second))
      }
    }
    report.table(table)

    if let first = a.words.first(where: { word in b.words.contains { $0.ids == word.ids } }),
      let second = b.words.first(where: { $0.ids == first.ids })
    {
      report.line()
      var vectors = Table(.left, .left, .left, .left)
      vectors.add(quoted(first.text), "", "before positions", "after positions")
      for (sentence, word) in [(a, first), (b, second)] {
        vectors.add(
          "", "\(sentence.name)[\(word.start)]",
          preview(sentence.before[word.start], limit: 3),
          preview(sentence.after[word.start], limit: 3))
      }
      report.table(vectors)
    }

    let alone = [a, b].flatMap { sentence in
      let other = sentence.name == a.name ? b : a
      return sentence.words.filter { word in !other.words.contains { $0.ids == word.ids } }
    }.map { quoted($0.text) }
    if !alone.isEmpty {
      report.line()
      let text =
        "Not compared: \(alone.joined(separator: ", ")). To the tokenizer a capital letter and the "
        + "space before a word make another token, so these stand in one sentence only."
      for line in wrap(text, width: 78) { report.line("  " + line) }
    }
  }

  /// How the vectors of a word in two tables compare: equal in every bit, or by how much not.
  private func difference(
    _ a: EmbeddingTable<Float>, _ b: EmbeddingTable<Float>, _ first: Word, _ second: Word
  ) -> String {
    let x = a.span.extracting(first.start * dim..<(first.start + first.ids.count) * dim)
    let y = b.span.extracting(second.start * dim..<(second.start + second.ids.count) * dim)
    if Embed.sameBits(x, y) { return "equal" }
    var largest: Float = 0
    for i in x.indices { largest = max(largest, abs(x[i] - y[i])) }
    return "differ by up to \(fixed(Double(largest), 4))"
  }
}
