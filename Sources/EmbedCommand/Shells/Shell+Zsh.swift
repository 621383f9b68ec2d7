// Completions for zsh, by its function `_arguments`: to be autoloaded from a folder of $fpath as
// `_embedkernel`, or sourced.

internal import EmbedFiles

extension Shell {
  static func zshScript(_ subcommands: [any Subcommand.Type]) -> [String] {
    var lines = [
      "#compdef embedkernel", "# Completions of embedkernel \(Release.version) for zsh.",
      "_embedkernel() {", "  local -a commands", "  commands=(",
    ]
    lines += subcommands.map { "    \(quoted("\($0.name):\(firstClause($0.summary))"))" }
    lines += [
      "    'help:The help of a command'", "  )", "  if (( CURRENT == 2 )); then",
      "    if [[ $PREFIX == -* ]]; then", "      compadd -- --help --version", "    else",
      "      _describe command commands", "    fi", "    return", "  fi",
      "  local command=$words[2]", "  shift words", "  (( CURRENT-- ))", "  case $command in",
    ]
    for subcommand in subcommands {
      lines.append("    \(subcommand.name))")
      let options = subcommand.options.map { option in
        let brief = "[\(escaped(option.brief, "[]"))]"
        guard let completion = option.completion else { return "--\(option.name)\(brief)" }
        return "--\(option.name)=\(brief):\(escaped(option.placeholder, ":"))\(action(completion))"
      }
      let operands =
        subcommand.operandNames.map {
          ":\($0)\(action(Completion(placeholder: $0)))"
        }
        + subcommand.optionalOperandNames.map {
          "::\($0)\(action(Completion(placeholder: $0)))"
        }
      lines.append("      _arguments -S \\")
      lines += (options + operands).map { "        \(quoted($0)) \\" }
      lines += ["        '--help[Show this help]'", "      ;;"]
    }
    return lines + [
      "    help) (( CURRENT == 2 )) && _describe command commands ;;", "  esac", "}",
      "if [[ $funcstack[1] == _embedkernel ]]; then", "  _embedkernel \"$@\"", "else",
      "  compdef _embedkernel embedkernel", "fi",
    ]
  }

  private static func action(_ completion: Completion) -> String {
    switch completion {
    case .words(let words): ":(\(words.joined(separator: " ")))"
    case .files(let endings) where endings.isEmpty: ":_files"
    // In brackets at the end, one alone would be a qualifier.
    case .files(let endings) where endings.count == 1: ":_files -g \"*.\(endings[0])\""
    case .files(let endings): ":_files -g \"*.(\(endings.joined(separator: "|")))\""
    case .folders: ":_files -/"
    case .nothing: ": "
    }
  }

  /// `text` with a backslash before each of `marks`, and before backslashes.
  private static func escaped(_ text: String, _ marks: String) -> String {
    text.map { marks.contains($0) || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined()
  }

  private static func quoted(_ text: String) -> String {
    "'\(text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''"))'"
  }
}
