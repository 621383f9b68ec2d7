// What `embedkernel` does with a command line: finds the subcommand, answers requests for help, and
// turns errors into a message on standard error and an exit code.

internal import EmbedKernel

package enum Program {
  static var subcommands: [any Subcommand.Type] {
    [
      Demo.self, Embed.self, Bag.self, Backward.self, Project.self, Step.self, Convert.self,
      Inspect.self,
      Tokenize.self,
      Positions.self, Rotate.self, Plot.self, Spectrum.self, Train.self, Evaluate.self, Sample.self,
      Order.self, Info.self, Tune.self, Completions.self, Manual.self,
    ]
  }

  /// Runs a command line and gives its exit code.
  package static func run(_ words: [String]) -> CInt {
    guard let first = words.first else {
      Report.standardError.write(help(of: subcommands))
      return 2
    }
    switch first {
    case "--help", "-h": return showHelp(nil)
    case "help": return showHelp(words.dropFirst().first)
    case "--version":
      Report.standardOutput.line("embedkernel \(Release.version)")
      return 0
    default:
      guard let subcommand = named(first) else { return failUnknown(first) }
      return run(subcommand, words.dropFirst())
    }
  }

  private static func named(_ name: String) -> (any Subcommand.Type)? {
    subcommands.first { $0.name == name }
  }

  /// Shows the help of a subcommand, or of the command as a whole.
  private static func showHelp(_ name: String?) -> CInt {
    guard let name else {
      Report.standardOutput.write(help(of: subcommands))
      return 0
    }
    guard let subcommand = named(name) else { return failUnknown(name) }
    Report.standardOutput.write(help(of: subcommand))
    return 0
  }

  private static func run(_ subcommand: any Subcommand.Type, _ words: ArraySlice<String>) -> CInt {
    if words.prefix(while: { $0 != "--" }).contains(where: { $0 == "--help" || $0 == "-h" }) {
      return showHelp(subcommand.name)
    }
    do {
      try subcommand.run(
        Arguments(
          words, options: subcommand.options, operandNames: subcommand.operandNames,
          optionalOperands: subcommand.optionalOperandNames.count))
      return 0
    } catch {
      if subcommand.isOverRanks { return RunRanks.tell(error, command: subcommand.name) }
      RunRanks.letFirstSpeak()
      return tell(error, command: subcommand.name)
    }
  }

  /// Says what ended a command, and gives its exit code.
  static func tell(_ error: any Error, command: String) -> CInt {
    if case CommandError.told(let code) = error { return code }
    return fail("\(error)", exitCode(of: error), command: command)
  }

  /// The exit code of what ended a command.
  static func exitCode(of error: any Error) -> CInt {
    switch error {
    case CommandError.told(let code): code
    // The environment is part of how the command was called.
    case CommandError.usage, EmbedError.invalidEnvironment, EmbedError.unavailableInstructionSet: 2
    default: 1
    }
  }

  private static func fail(_ message: String, _ code: CInt, command: String) -> CInt {
    Report.standardError.line("embedkernel \(command): \(message)")
    if code == 2 { Report.standardError.line("Try 'embedkernel \(command) --help'.") }
    return code
  }

  private static func failUnknown(_ name: String) -> CInt {
    RunRanks.letFirstSpeak()
    let kind = name.hasPrefix("-") ? "option" : "command"
    let known =
      kind == "option" ? ["--help", "--version"] : subcommands.map { $0.name } + ["help"]
    Report.standardError.line("embedkernel: \(unknown(kind, name, among: known))")
    Report.standardError.line("Try 'embedkernel --help'.")
    return 2
  }
}
