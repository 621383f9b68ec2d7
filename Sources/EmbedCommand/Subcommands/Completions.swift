// `completions`: what teaches a shell the commands, their options and their values.

/// Prints the completions of a shell.
enum Completions: Subcommand {
  static let name = "completions"
  static let summary = "Completions of this command line for bash, zsh or fish."
  static let usage = ["\(Shell.allCases.map(\.rawValue).joined(separator: "|"))"]
  static let about = [
    "Prints a script that completes commands, options, their values and their files:",
    "bash: embedkernel completions bash > ~/.local/share/bash-completion/completions/embedkernel, or "
      + "'source <(embedkernel completions bash)' in ~/.bashrc.",
    "zsh: embedkernel completions zsh > DIR/_embedkernel, where DIR is a folder of $fpath.",
    "fish: embedkernel completions fish > ~/.config/fish/completions/embedkernel.fish.",
  ]
  static let operandNames = ["SHELL"]
  static let groups: [OptionGroup] = []

  static func run(_ arguments: Arguments) throws {
    let name = arguments.operands[0]
    guard let shell = Shell(rawValue: name) else {
      let names = Shell.allCases.map(\.rawValue)
      throw CommandError.usage(
        "shell '\(name)' is none of \(names.joined(separator: ", "))\(hint(for: name, among: names))"
      )
    }
    Report.standardOutput.write(shell.script(Program.subcommands))
  }
}
