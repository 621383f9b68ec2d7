// What can go wrong around a training run.

public import EmbedData
public import EmbedDistributed
public import EmbedKernel

/// A fault of a run's text, settings or checkpoint.
public enum TrainingError: Error, Equatable, Sendable {
  /// A setting is outside its range.
  case invalidSetting(name: String, value: String, expected: String)
  /// A part of the text has fewer tokens than a batch of it needs.
  case textTooShort(part: String, tokens: Int, needed: Int)
  /// The loss or the gradient is no longer finite.
  case diverged(step: Int, what: String, value: Double)
  /// A checkpoint lacks a text, or it is not what it should be.
  case checkpoint(path: String, key: String, found: String?, expected: String)
  /// A tensor of a checkpoint has another shape than the model's.
  case tensorShape(path: String, tensor: String, found: [Int], expected: [Int])
  /// Sizes or ids that the model refuses.
  case model(EmbedError)
  /// Tokens that the loader refuses.
  case data(DataError)
  /// A file that is not as it should be.
  case file(SafetensorsError)
  /// Ranks that train together do not agree, or one has failed.
  case ranks(DistributedError)
}

extension TrainingError: CustomStringConvertible {
  /// The fault in a sentence.
  public var description: String {
    switch self {
    case .invalidSetting(let name, let value, let expected):
      "\(name) is \(value): expected \(expected)"
    case .textTooShort(let part, let tokens, let needed):
      "the \(part) part of the text has \(tokens) tokens, but needs \(needed) or more"
    case .diverged(let step, let what, let value):
      "the \(what) is \(value.legible) at step \(step): training has diverged"
    case .checkpoint(let path, let key, let found, let expected):
      "'\(path)': \(key) is \(found.map { "'\($0)'" } ?? "missing"): expected \(expected)"
    case .tensorShape(let path, let tensor, let found, let expected):
      "'\(path)': tensor \(tensor) has shape \(found), but the model's is \(expected)"
    case .model(let error): "\(error)"
    case .data(let error): "\(error)"
    case .file(let error): "\(error)"
    case .ranks(let error): "\(error)"
    }
  }
}

extension TrainingError {
  /// Passes on what the model refuses.
  static func wrapping<Result>(
    _ body: () throws(EmbedError) -> Result
  ) throws(TrainingError) -> Result {
    do throws(EmbedError) { return try body() } catch { throw .model(error) }
  }

  /// Passes on what ranks say.
  static func wrappingRanks<Result>(
    _ body: () throws(DistributedError) -> Result
  ) throws(TrainingError) -> Result {
    do throws(DistributedError) {
      return try body()
    } catch .invalid(let error) {
      throw .model(error)
    } catch {
      throw .ranks(error)
    }
  }

  /// Passes on what is wrong with a file.
  static func wrappingFile<Result: ~Copyable>(
    _ body: () throws(SafetensorsError) -> Result
  ) throws(TrainingError) -> Result {
    do throws(SafetensorsError) { return try body() } catch { throw .file(error) }
  }
}
