// The command line of a subcommand, taken apart: long options as `--name value` or `--name=value`,
// each at most once, switches as `--name`, and operands. `--` ends the options.
//
// Help is not among the options here: it is answered before anything is parsed.

/// A subcommand's parsed arguments: every value that is given is one of its option's kind.
package struct Arguments {
  /// What stands where an option does not.
  package private(set) var operands: [String] = []
  private var values: [String: String] = [:]

  /// Takes `words` apart.
  ///
  /// - Parameters:
  ///   - options: All there are.
  ///   - operandNames: The operands there must be.
  ///   - optionalOperands: How many more there may be.
  package init(
    _ words: some Sequence<String>, options: [any AnyOption], operandNames: [String] = [],
    optionalOperands: Int = 0
  ) throws(CommandError) {
    var words = words.makeIterator()
    var given: [any AnyOption] = []
    var optionsEnded = false
    while let word = words.next() {
      if optionsEnded || !word.hasPrefix("-") || word == "-" {
        operands.append(word)
      } else if word == "--" {
        optionsEnded = true
      } else {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let option = try Self.option(String(parts[0]), among: options)
        var value = parts.count == 2 ? String(parts[1]) : ""
        if option.placeholder.isEmpty {
          guard parts.count == 1 else { throw .usage("option --\(option.name) takes no value") }
        } else {
          if parts.count == 1, let next = words.next(), !next.hasPrefix("--") { value = next }
          guard !value.isEmpty else {
            throw .usage(
              "option --\(option.name) needs a value: --\(option.name) \(option.placeholder)")
          }
        }
        guard values.updateValue(value, forKey: option.name) == nil else {
          throw .usage("option --\(option.name) is given twice")
        }
        given.append(option)
      }
    }
    if operands.count < operandNames.count {
      throw .usage("\(operandNames[operands.count]) is missing")
    }
    if operands.count > operandNames.count + optionalOperands {
      throw .usage("unexpected argument '\(operands[operandNames.count + optionalOperands])'")
    }
    for option in given { try option.check(values[option.name] ?? "") }
    for option in given
    where !option.needs.isEmpty && !option.needs.contains(where: { values[$0] != nil }) {
      let needs = option.needs.map { "--" + $0 }.joined(separator: " or ")
      throw .usage("--\(option.name) needs \(needs)")
    }
  }

  private static func option(
    _ word: String, among options: [any AnyOption]
  ) throws(CommandError) -> any AnyOption {
    if let option = options.first(where: { "--" + $0.name == word }) { return option }
    if let option = options.first(where: { $0.alsoCalled.contains { "--" + $0 == word } }) {
      throw .usage(
        "unknown option '\(word)'; did you mean '--\(option.name) \(option.placeholder)'? "
          + option.help)
    }
    throw .usage(unknown("option", word, among: options.map { "--" + $0.name } + ["--help"]))
  }
}

extension Arguments {
  /// Whether the option is given.
  package func has(_ option: any AnyOption) -> Bool { values[option.name] != nil }

  /// The first of the options that is given.
  func first(of options: [any AnyOption]) -> (any AnyOption)? { options.first { has($0) } }

  /// The option's value: what is given, or what holds otherwise.
  package subscript<Value>(option: Option<Value>) -> Value {
    get throws(CommandError) { try option.value(values[option.name]) }
  }

  /// The value of an option that this call cannot do without.
  ///
  /// - Parameter cause: What needs it, for the error.
  func needed<Value>(
    _ option: Option<Value?>, by cause: String? = nil
  ) throws(CommandError) -> Value {
    if let value = try self[option] { return value }
    throw .usage(
      cause.map { "\($0) needs --\(option.name)" } ?? "--\(option.name) is needed")
  }

  /// The option's integer where it must be in a narrower range; nil where it is not given.
  func integer(
    _ option: any AnyOption, in range: ClosedRange<Int>
  ) throws(CommandError) -> Int? {
    try Option<Int?>(option.name, .integer(in: range), "").value(values[option.name])
  }

  /// Refuses options that mean nothing beside the others, the first that is given by name.
  func refuse(_ options: [any AnyOption], _ reason: String) throws(CommandError) {
    if let option = first(of: options) { throw .usage("--\(option.name) \(reason)") }
  }

  /// Refuses options that name one file for two outputs, of which one would be lost.
  func checkDistinct(_ outputs: [any AnyOption]) throws(CommandError) {
    var names: [String: String] = [:]
    for option in outputs {
      guard let path = values[option.name], path != "/dev/null" else { continue }
      if let other = names.updateValue(option.name, forKey: path) {
        throw .usage("--\(other) and --\(option.name) are both '\(path)'; each needs its own file")
      }
    }
  }
}
