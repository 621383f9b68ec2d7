// `man`: the manual page, as man(1) reads it.

/// Prints the manual page.
enum Manual: Subcommand {
  static let name = "man"
  static let summary = "The manual page, for man(1)."
  static let usage = ["> embedkernel.1"]
  static let about = [
    "Prints the manual page of all commands, to be read by 'man ./embedkernel.1' or put into a folder "
      + "man1 of MANPATH."
  ]
  static let groups: [OptionGroup] = []

  static func run(_ arguments: Arguments) throws {
    Report.standardOutput.write(
      ManualPage(Program.subcommands).lines.joined(separator: "\n") + "\n")
  }
}
