// Completions for bash: one function, without the package bash-completion. Each command's case sets its
// options, and what is due: `words`, `files` with their endings, `folders`, or nothing.

internal import EmbedFiles

extension Shell {
  static func bashScript(_ subcommands: [any Subcommand.Type]) -> [String] {
    let names = subcommands.map { $0.name } + ["help"]
    var lines = [
      "# Completions of embedkernel \(Release.version) for bash.", "_embedkernel() {",
      "  local command=${COMP_WORDS[1]} current=${COMP_WORDS[COMP_CWORD]}",
      "  local option=${COMP_WORDS[COMP_CWORD - 1]} prefix= options= due= operand= file ending IFS",
      "  COMPREPLY=()", "  if ((COMP_CWORD == 1)); then", "    IFS=$' \\t\\n'",
      "    COMPREPLY=($(compgen -W '\(names.joined(separator: " ")) --help --version' -- \"$current\"))",
      "    return", "  fi",
      "  # bash cuts '--option=value' into three words, unless COMP_WORDBREAKS says otherwise.",
      "  if [[ $current == '=' ]]; then", "    current=",
      "  elif [[ $option == '=' ]]; then", "    option=${COMP_WORDS[COMP_CWORD - 2]}",
      "  elif [[ $current == --*=* ]]; then",
      "    option=${current%%=*} prefix=${current%%=*}= current=${current#*=}", "  fi",
      "  case $command in",
    ]
    for subcommand in subcommands {
      lines += ["    \(subcommand.name))"]
      let options = subcommand.options.map { "--\($0.name)" } + ["--help"]
      lines.append("      options='\(options.joined(separator: " "))'")
      if let due = due(subcommand.operandCompletion) { lines.append("      operand='\(due)'") }
      var choices: [(due: String, names: [String])] = []
      for option in subcommand.options {
        guard let completion = option.completion else { continue }
        let due = due(completion) ?? "nothing"
        if let index = choices.firstIndex(where: { $0.due == due }) {
          choices[index].names.append("--\(option.name)")
        } else {
          choices.append((due, ["--\(option.name)"]))
        }
      }
      if !choices.isEmpty {
        lines.append("      case $option in")
        lines += choices.map { "        \($0.names.joined(separator: " | "))) due='\($0.due)' ;;" }
        lines.append("      esac")
      }
      lines.append("      ;;")
    }
    return lines + [
      "    help) operand='words \(names.dropLast().joined(separator: " "))' ;;", "  esac",
      "  if [[ -z $due && $current == -* ]]; then", "    due=\"words $options\"",
      "  elif [[ -z $due ]]; then", "    due=$operand", "  fi", "  IFS=$' \\t\\n'",
      "  case $due in",
      "    words*) COMPREPLY=($(compgen -P \"$prefix\" -W \"${due#words}\" -- \"$current\")) ;;",
      "    files* | folders)", "      compopt -o filenames 2>/dev/null",
      "      while IFS= read -r file; do", "        IFS=$' \\t\\n'",
      "        if [[ -d $file || $due == files ]]; then", "          COMPREPLY+=(\"$prefix$file\")",
      "        else", "          for ending in ${due#files}; do",
      "            [[ $file == *.$ending ]] && COMPREPLY+=(\"$prefix$file\")", "          done",
      "        fi", "      done < <(compgen -f -- \"$current\")", "      ;;", "  esac", "}",
      "complete -F _embedkernel embedkernel",
    ]
  }

  /// What the script's `due` is set to; nil where nothing is offered.
  private static func due(_ completion: Completion) -> String? {
    switch completion {
    case .words(let words): "words \(words.joined(separator: " "))"
    case .files(let endings): (["files"] + endings).joined(separator: " ")
    case .folders: "folders"
    case .nothing: nil
    }
  }
}
