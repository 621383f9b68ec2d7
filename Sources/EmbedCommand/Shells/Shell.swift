// Completions of the command line, as a script of each shell's own. All of them are written from the
// tables that parse the command line, so they know what it knows.

/// A shell that takes completions.
package enum Shell: String, CaseIterable, Sendable {
  case bash
  case zsh
  case fish

  /// The script that teaches the shell the command.
  func script(_ subcommands: [any Subcommand.Type]) -> String {
    let lines =
      switch self {
      case .bash: Self.bashScript(subcommands)
      case .zsh: Self.zshScript(subcommands)
      case .fish: Self.fishScript(subcommands)
      }
    return lines.joined(separator: "\n") + "\n"
  }
}
