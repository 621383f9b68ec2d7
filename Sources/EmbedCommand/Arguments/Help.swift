// The text of `--help`, laid out for a terminal of 80 columns.

/// The help of the command as a whole.
func help(of subcommands: [any Subcommand.Type]) -> String {
  var lines = [
    "embedkernel: the first layer of a language model, from text to input embeddings.", "",
    "Usage: embedkernel COMMAND [OPTIONS]", "", "Commands:",
  ]
  for subcommand in subcommands { lines += entry(subcommand.name, subcommand.summary, indent: 15) }
  lines += [
    "", "Options:",
    "  --help     Show this help; after a command, the help of that command.",
    "  --version  Show the version.", "", "Environment:",
  ]
  for (name, text) in environmentVariables { lines += entry(name, text, indent: 32) }
  lines += ["", "Exit codes:"] + exitCodes.map { "  \($0.code)  \($0.meaning)" }
  return lines.joined(separator: "\n") + "\n"
}

/// What the environment may say.
let environmentVariables = [
  ("EMBEDKERNEL_BACKEND", "openblas, simd or native: what 'auto' takes, whatever the shape."),
  (
    "EMBEDKERNEL_INSTRUCTION_SET",
    "plain, neon, neonbf16, avx2, avx512 or avx512bf16: what the native backend takes."
  ),
  (
    "EMBEDKERNEL_TUNING",
    "off: no tuning file; or the path of one (default: the one that 'embedkernel tune' saved for this "
      + "CPU, if any)."
  ),
]

/// What the command ends with.
let exitCodes: [(code: Int, meaning: String)] = [
  (0, "Done."), (1, "A file, or what is in it, is wrong."), (2, "The command line is wrong."),
]

/// The help of one subcommand.
func help(of subcommand: any Subcommand.Type) -> String {
  var lines: [String] = []
  for (index, form) in subcommand.usage.enumerated() {
    let lead = (index == 0 ? "Usage: " : "       ") + "embedkernel \(subcommand.name) "
    for (index, line) in wrap(form, width: columns - lead.count).enumerated() {
      lines.append((index == 0 ? lead : String(repeating: " ", count: lead.count)) + line)
    }
  }
  for paragraph in subcommand.about {
    lines.append("")
    lines += wrap(paragraph, width: columns)
  }
  for group in subcommand.groups {
    lines += ["", "\(group.title):"]
    for option in group.options {
      let value = option.placeholder.isEmpty ? "" : " " + option.placeholder
      lines += entry("--\(option.name)\(value)", option.help, indent: 30)
    }
  }
  lines += ["", "Other:"] + entry("--help", "Show this help.", indent: 30)
  return lines.joined(separator: "\n") + "\n"
}

private let columns = 80

/// A name and, from column `indent` on, its explanation; on the next line where the name is long.
private func entry(_ name: String, _ text: String, indent: Int) -> [String] {
  let margin = String(repeating: " ", count: indent)
  let head = "  " + name
  var lines = wrap(text, width: columns - indent).map { margin + $0 }
  if head.count + 2 <= indent, let first = lines.first {
    lines[0] = head + first.dropFirst(head.count)
    return lines
  }
  return [head] + lines
}

/// `text` in lines of at most `width` characters, broken at spaces.
package func wrap(_ text: String, width: Int) -> [String] {
  var lines: [String] = []
  var line = ""
  for word in text.split(separator: " ") {
    if !line.isEmpty, line.count + 1 + word.count > width {
      lines.append(line)
      line = ""
    }
    line += line.isEmpty ? String(word) : " " + word
  }
  return lines + [line]
}
