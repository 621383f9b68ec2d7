// An option of a command line: said once, with its name, what stands for its value, what it does and
// what holds where it is not given. Parsing, help and errors follow from that.

/// What a list of options knows of each.
package protocol AnyOption: Sendable {
  /// The name, without dashes.
  var name: String { get }
  /// What stands for the value in the help; empty for a switch.
  var placeholder: String { get }
  /// What it does, and what holds where it is not given.
  var help: String { get }
  /// The values there are, where the help does not list them in the value's place.
  var choices: [String] { get }
  /// Names that it has elsewhere, which an error about them leads back from.
  var alsoCalled: [String] { get }
  /// The names of options of which one must be given beside it; none where it stands alone.
  var needs: [String] { get }

  /// Refuses a text that is no value of the option's.
  func check(_ text: String) throws(CommandError)
}

/// An option `--name VALUE`, or a switch `--name`.
package struct Option<Value: Sendable>: AnyOption {
  package let name: String
  package let placeholder: String
  package let help: String
  package let choices: [String]
  package let alsoCalled: [String]
  package private(set) var needs: [String] = []
  private let parse: @Sendable (String) throws(OptionFault) -> Value
  private let standard: Value?
  /// What is said where the option must be given and is not.
  private let missing: String

  private init(
    _ name: String, _ placeholder: String, _ help: String, choices: [String] = [],
    alsoCalled: [String] = [], standard: Value?, missing: String = "",
    _ parse: @escaping @Sendable (String) throws(OptionFault) -> Value
  ) {
    self.name = name
    self.placeholder = placeholder
    self.help = help
    self.choices = choices
    self.alsoCalled = alsoCalled
    self.standard = standard
    self.missing = missing
    self.parse = parse
  }

  /// An option with a value where it is not given.
  ///
  /// - Parameters:
  ///   - does: What it does, without a full stop.
  ///   - note: What is to be said after the default.
  package init(
    _ name: String, _ kind: OptionKind<Value>, _ does: String, default standard: Value,
    _ note: String = "", alsoCalled: [String] = []
  ) {
    self.init(
      name, kind.placeholder, "\(does) (default \(kind.show(standard))\(note)).",
      choices: kind.choices, alsoCalled: alsoCalled, standard: standard, kind.parse)
  }

  /// An option without a value where it is not given.
  ///
  /// - Parameter otherwise: What happens then, in words.
  package init<Given>(
    _ name: String, _ kind: OptionKind<Given>, _ does: String, otherwise: String? = nil
  ) where Value == Given? {
    self.init(
      name, kind.placeholder, does + (otherwise.map { " (default: \($0))." } ?? "."),
      choices: kind.choices, standard: .some(nil)
    ) { text throws(OptionFault) in try kind.parse(text) }
  }

  /// An option that must be given.
  ///
  /// - Parameter needed: What an error names as its value; nil names none.
  package init(_ name: String, _ kind: OptionKind<Value>, _ does: String, needed: String?) {
    self.init(
      name, kind.placeholder, does + ". Needed.", choices: kind.choices, standard: nil,
      missing: needed.map { "--\(name) \($0) is missing" } ?? "--\(name) is needed", kind.parse)
  }

  /// The same where it means nothing without one of `options`.
  func needing(_ options: any AnyOption...) -> Option {
    var option = self
    option.needs = options.map(\.name)
    return option
  }

  package func check(_ text: String) throws(CommandError) { _ = try value(text) }

  /// The option's value where the command line gives it as `text`, or not at all.
  func value(_ text: String?) throws(CommandError) -> Value {
    guard let text else {
      guard let standard else { throw .usage(missing) }
      return standard
    }
    do throws(OptionFault) {
      return try parse(text)
    } catch {
      throw .usage("option --\(name): \(error.reason)")
    }
  }
}

extension Option where Value == Bool {
  /// A switch: true where it is given.
  package init(switch name: String, _ does: String) {
    self.init(name, "", does + ".", standard: false) { _ throws(OptionFault) in true }
  }
}

/// Options that belong together.
struct OptionGroup: Sendable {
  let title: String
  let options: [any AnyOption]

  init(_ title: String, _ options: [any AnyOption]) {
    self.title = title
    self.options = options
  }
}
