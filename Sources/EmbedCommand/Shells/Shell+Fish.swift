// Completions for fish: a line an option, under the condition that its command is the line's first word.

internal import EmbedFiles

extension Shell {
  static func fishScript(_ subcommands: [any Subcommand.Type]) -> [String] {
    var lines = [
      "# Completions of embedkernel \(Release.version) for fish.",
      "function __embedkernel_command", "  set -l words (commandline -opc)",
      "  test (count $words) -gt 1; and test $words[2] = $argv[1]", "end",
      "function __embedkernel_none", "  test (count (commandline -opc)) -eq 1", "end",
      "complete -c embedkernel -f",
      "complete -c embedkernel -n __embedkernel_none -l help -d 'Show this help'",
      "complete -c embedkernel -n __embedkernel_none -l version -d 'Show the version'",
    ]
    let all = subcommands.map { (name: $0.name, summary: firstClause($0.summary)) }
    for (name, summary) in all + [("help", "The help of a command")] {
      lines.append(
        "complete -c embedkernel -n __embedkernel_none -a \(name) -d \(quoted(summary))")
    }
    for subcommand in subcommands {
      let head = "complete -c embedkernel -n '__embedkernel_command \(subcommand.name)'"
      for option in subcommand.options {
        let value = option.completion.map { " -r\(offer($0))" } ?? ""
        lines.append("\(head) -l \(option.name)\(value) -d \(quoted(option.brief))")
      }
      lines.append("\(head) -l help -d 'Show this help'")
      if !subcommand.operandNames.isEmpty {
        lines.append("\(head)\(offer(subcommand.operandCompletion))")
      }
    }
    let names = all.map(\.name).joined(separator: " ")
    return lines + ["complete -c embedkernel -n '__embedkernel_command help' -a '\(names)'"]
  }

  private static func offer(_ completion: Completion) -> String {
    switch completion {
    case .words(let words): " -f -a '\(words.joined(separator: " "))'"
    // Those with the ending come first. The function takes one, and more only in newer shells.
    case .files(let endings) where !endings.isEmpty:
      " -k -f -a '(for ending in \(endings.map { "." + $0 }.joined(separator: " ")); "
        + "__fish_complete_suffix $ending; end)'"
    case .files: " -F"
    case .folders: " -f -a '(__fish_complete_directories)'"
    case .nothing: " -f"
    }
  }

  private static func quoted(_ text: String) -> String {
    "'\(text.map { $0 == "'" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined())'"
  }
}
