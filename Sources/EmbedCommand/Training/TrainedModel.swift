// A model to look at: of a run's folder, or of a file.

internal import EmbedData
internal import EmbedKernel
internal import EmbedTraining

/// A model, and the tokenizer it was trained with.
struct TrainedModel {
  let model: GPT
  /// The file it is from.
  let path: String
  /// The settings of its run, where the file tells them.
  let settings: RunSettings?
  let vocabulary: Vocabulary

  /// The model of a run's folder, at its last checkpoint, or of a .safetensors file.
  ///
  /// - Throws: `CommandError` for a folder without a run, and for a tokenizer of another vocabulary.
  init(_ place: String, _ arguments: Arguments) throws {
    let path = try Self.file(place)
    model = try GPT(contentsOf: path)
    let (file, texts) = try Trainer.texts(in: path)
    self.path = file
    settings = try RunSettings(texts, path: file)
    let size = model.configuration.vocabulary
    let told: [any AnyOption] = [TokenizerOptions.tokenizer, TokenizerOptions.vocabulary]
    if let settings, arguments.first(of: told) == nil {
      vocabulary = try Vocabulary(settings.tokenizer, path: settings.vocabulary)
    } else {
      vocabulary = try Vocabulary(arguments, standard: size == 256 ? .byte : .gpt2)
    }
    guard vocabulary.tokenizer.vocabularySize == size else {
      throw CommandError.data(
        "'\(path)' has a vocabulary of \(grouped(size)), but the tokenizer is \(vocabulary.title)")
    }
  }

  private static func file(_ place: String) throws(CommandError) -> String {
    guard Folders.isFolder(place) else { return place }
    let folder = RunFolder(place)
    if let state = try folder.state() { return state }
    guard Folders.fileSize(folder.model) != nil else {
      throw .data("'\(place)' holds neither checkpoint.safetensors nor model.safetensors")
    }
    return folder.model
  }

  /// The tokenizer's options, for a file that does not tell.
  static let tokenizer = OptionGroup(
    "Tokenizer",
    [
      TokenizerOptions.tokenizer(
        otherwise: "the run's; of a model alone, byte for a vocabulary of 256, else gpt2"),
      TokenizerOptions.vocabulary,
    ])
}
