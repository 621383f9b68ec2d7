// What a subcommand takes: options with a value, in groups for its help.

/// An option `--name VALUE`, or a switch `--name` where nothing stands for a value.
package struct Option: Sendable {
  /// The name, without dashes.
  package let name: String
  /// What stands for the value in the help; empty for a switch.
  package let value: String
  /// What it does, and its default.
  package let help: String
  /// Names that it has elsewhere, which an error about them leads back from.
  let alsoCalled: [String]

  package init(
    _ name: String, _ value: String, _ help: String, alsoCalled: [String] = []
  ) {
    self.alsoCalled = alsoCalled
    self.name = name
    self.value = value
    self.help = help
  }
}

/// An option whose value is one of a few names.
struct ChoiceOption<Value: Sendable>: Sendable {
  let option: Option
  let choices: [(name: String, value: Value)]

  /// - Parameter value: What stands for the value in the help; nil for the names.
  init(
    _ name: String, _ choices: [(name: String, value: Value)], _ help: String, value: String? = nil
  ) {
    option = Option(name, value ?? choices.map(\.name).joined(separator: "|"), help)
    self.choices = choices
  }
}

/// Options that belong together.
struct OptionGroup: Sendable {
  let title: String
  let options: [Option]

  init(_ title: String, _ options: [Option]) {
    self.title = title
    self.options = options
  }
}
