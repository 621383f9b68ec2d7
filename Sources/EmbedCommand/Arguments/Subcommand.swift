// What every subcommand declares: its help follows from this, and so does its parsing.

/// One of the command's verbs.
protocol Subcommand {
  /// The verb.
  static var name: String { get }
  /// One line for the list of subcommands.
  static var summary: String { get }
  /// The forms of its arguments, one a line.
  static var usage: [String] { get }
  /// What it does: paragraphs for its help.
  static var about: [String] { get }
  /// The operands it needs.
  static var operandNames: [String] { get }
  /// The operands that may stand after those.
  static var optionalOperandNames: [String] { get }
  /// Its options, in the order of its help.
  static var groups: [OptionGroup] { get }
  /// Whether processes that mpirun starts are ranks of one run, and not as many runs.
  static var isOverRanks: Bool { get }

  /// Does the work. Errors are those of the libraries, or a `CommandError`.
  static func run(_ arguments: Arguments) throws
}

extension Subcommand {
  static var operandNames: [String] { [] }
  static var optionalOperandNames: [String] { [] }
  static var isOverRanks: Bool { false }

  /// All options.
  static var options: [any AnyOption] { groups.flatMap(\.options) }
}
