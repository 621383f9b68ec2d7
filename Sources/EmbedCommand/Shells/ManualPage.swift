// The manual page embedkernel(1), in the macros man(7), written from the tables of the commands.

internal import EmbedFiles

/// The lines of a manual page.
struct ManualPage {
  private(set) var lines: [String]

  init(_ subcommands: [any Subcommand.Type]) {
    lines = [
      ".TH EMBEDKERNEL 1 \"\(Release.date)\" \"embedkernel \(Release.version)\" \"User Commands\"",
      ".SH NAME",
      "embedkernel \\- the first layer of a language model, from text to input embeddings",
      ".SH SYNOPSIS", ".B embedkernel", ".I COMMAND", "[\\fIOPTIONS\\fR]",
      ".SH DESCRIPTION",
    ]
    add(
      "Token rows gathered and positions added, on the CPU, with their gradients and optimisers; "
        + "positions of every kind; tokenizers, files of arrays and tensors, and a small GPT. Each "
        + "command has a section below; 'embedkernel help COMMAND' shows it alone. Options are given as "
        + "--option VALUE or --option=VALUE.")
    lines.append(".SH COMMANDS")
    for subcommand in subcommands { add(subcommand) }
    lines.append(".SH OPTIONS")
    add("--help", "", "Show the list of commands; after a command, its help.")
    add("--version", "", "Show the version.")
    lines.append(".SH ENVIRONMENT")
    for (name, text) in environmentVariables { add(name, "", text) }
    lines.append(".SH EXIT STATUS")
    for (code, text) in exitCodes { add("\(code)", "", text) }
  }

  private mutating func add(_ subcommand: any Subcommand.Type) {
    lines.append(".SS \(subcommand.name)")
    add(subcommand.summary)
    for form in subcommand.usage {
      lines += [".P", "\\fBembedkernel \(subcommand.name)\\fR \(escaped(form))"]
    }
    for paragraph in subcommand.about {
      lines.append(".P")
      add(paragraph)
    }
    for group in subcommand.groups where !group.options.isEmpty {
      lines += [".P", "\(escaped(group.title)):"]
      for option in group.options { add("--\(option.name)", option.placeholder, option.help) }
    }
  }

  /// A paragraph with a tag.
  private mutating func add(_ tag: String, _ value: String, _ text: String) {
    lines.append(".TP")
    lines.append("\\fB\(escaped(tag))\\fR" + (value.isEmpty ? "" : " \\fI\(escaped(value))\\fR"))
    add(text)
  }

  /// Text in lines of a source's length; none begins as a request does.
  private mutating func add(_ text: String) {
    for line in wrap(escaped(text), width: 90) {
      lines.append(line.first == "." || line.first == "'" ? "\\&" + line : line)
    }
  }

  /// `text` as it is to be shown: a hyphen is the one that a shell takes.
  private func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result += "\\e"
      case "-": result += "\\-"
      case _ where scalar.isASCII: result.unicodeScalars.append(scalar)
      default:
        let digits = String(scalar.value, radix: 16, uppercase: true)
        result += "\\[u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits + "]"
      }
    }
    return result
  }
}
