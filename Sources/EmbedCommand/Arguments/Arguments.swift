// The command line of a subcommand, taken apart: long options as `--name value` or `--name=value`,
// each at most once, switches as `--name`, and operands. `--` ends the options.
//
// Help is not among the options here: it is answered before anything is parsed.

/// A subcommand's parsed arguments. Values are checked where they are read.
package struct Arguments {
  /// What stands where an option does not.
  package private(set) var operands: [String] = []
  private var values: [String: String] = [:]

  /// Takes `words` apart.
  ///
  /// - Parameters:
  ///   - options: All there are.
  ///   - operandNames: The operands there must be.
  package init(
    _ words: some Sequence<String>, options: [Option], operandNames: [String] = []
  ) throws(CommandError) {
    var words = words.makeIterator()
    var optionsEnded = false
    while let word = words.next() {
      if optionsEnded || !word.hasPrefix("-") || word == "-" {
        operands.append(word)
      } else if word == "--" {
        optionsEnded = true
      } else {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let option = try Self.option(String(parts[0]), among: options)
        if option.value.isEmpty {
          guard parts.count == 1 else { throw .usage("option --\(option.name) takes no value") }
          guard values.updateValue("", forKey: option.name) == nil else {
            throw .usage("option --\(option.name) is given twice")
          }
          continue
        }
        let value = parts.count == 2 ? String(parts[1]) : words.next()
        guard let value, !value.isEmpty, parts.count == 2 || !value.hasPrefix("--") else {
          throw .usage("option --\(option.name) needs a value: --\(option.name) \(option.value)")
        }
        guard values.updateValue(value, forKey: option.name) == nil else {
          throw .usage("option --\(option.name) is given twice")
        }
      }
    }
    if operands.count < operandNames.count {
      throw .usage("\(operandNames[operands.count]) is missing")
    }
    if operands.count > operandNames.count {
      throw .usage("unexpected argument '\(operands[operandNames.count])'")
    }
  }

  private static func option(
    _ word: String, among options: [Option]
  ) throws(CommandError) -> Option {
    if let option = options.first(where: { "--" + $0.name == word }) { return option }
    if let option = options.first(where: { $0.alsoCalled.contains { "--" + $0 == word } }) {
      throw .usage(
        "unknown option '\(word)'; did you mean '--\(option.name) \(option.value)'? \(option.help)")
    }
    throw .usage(unknown("option", word, among: options.map { "--" + $0.name } + ["--help"]))
  }
}

extension Arguments {
  /// Whether the option is given.
  package func has(_ option: Option) -> Bool { values[option.name] != nil }

  /// The option's text.
  package func string(_ option: Option) -> String? { values[option.name] }

  /// The text of an option that must be given.
  func needed(_ option: Option) throws(CommandError) -> String {
    guard let text = values[option.name] else { throw .usage("--\(option.name) is needed") }
    return text
  }

  /// Refuses options that name one file for two outputs, of which one would be lost.
  func checkDistinct(_ outputs: [Option]) throws(CommandError) {
    var names: [String: String] = [:]
    for option in outputs {
      guard let path = values[option.name], path != "/dev/null" else { continue }
      if let other = names.updateValue(option.name, forKey: path) {
        throw .usage("--\(other) and --\(option.name) are both '\(path)'; each needs its own file")
      }
    }
  }

  /// The option as an integer in `range`.
  package func integer(
    _ option: Option, in range: ClosedRange<Int> = 1...Int.max
  ) throws(CommandError) -> Int? {
    guard let text = values[option.name] else { return nil }
    guard let value = Int(text), range.contains(value) else {
      let bound =
        range.upperBound == Int.max
        ? "\(range.lowerBound) or more" : "\(range.lowerBound) to \(range.upperBound)"
      throw .usage("option --\(option.name): '\(text)' is not an integer of \(bound)")
    }
    return value
  }

  /// The option as integers in `range`, with commas between them.
  func integers(
    _ option: Option, in range: ClosedRange<Int>
  ) throws(CommandError) -> [Int]? {
    guard let text = values[option.name] else { return nil }
    var result: [Int] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let value = Int(part), range.contains(value) else {
        throw .usage(
          "option --\(option.name): '\(part)' is not an integer of \(range.lowerBound) or more; "
            + "expected \(option.value)")
      }
      result.append(value)
    }
    return result
  }

  /// The option's texts, with commas between them.
  func list(_ option: Option) throws(CommandError) -> [String]? {
    guard let text = values[option.name] else { return nil }
    let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard !parts.contains("") else {
      throw .usage("option --\(option.name): an empty name in '\(text)'")
    }
    return parts
  }

  /// The option as a seed: any integer of 64 bits without a sign.
  package func seed(_ option: Option) throws(CommandError) -> UInt64? {
    guard let text = values[option.name] else { return nil }
    guard let value = UInt64(text) else {
      throw .usage("option --\(option.name): '\(text)' is not an integer of 0 to \(UInt64.max)")
    }
    return value
  }

  /// The option as a finite number, above `minimum` where there is one.
  package func number(_ option: Option, above minimum: Double? = nil) throws(CommandError)
    -> Double?
  {
    guard let text = values[option.name] else { return nil }
    guard let value = Double(text), value.isFinite, minimum.map({ value > $0 }) ?? true else {
      let bound = minimum.map { " above \(fixed($0, 0))" } ?? ""
      throw .usage("option --\(option.name): '\(text)' is not a finite number\(bound)")
    }
    return value
  }

  /// The value that the option's text chooses.
  func choice<Value>(_ option: ChoiceOption<Value>) throws(CommandError) -> Value? {
    guard let text = values[option.option.name] else { return nil }
    if let choice = option.choices.first(where: { $0.name == text }) { return choice.value }
    let names = option.choices.map(\.name)
    let hint = nearest(to: text, among: names).map { "; did you mean '\($0)'?" } ?? ""
    throw .usage(
      "option --\(option.option.name): '\(text)' is none of \(names.joined(separator: ", "))\(hint)"
    )
  }
}
