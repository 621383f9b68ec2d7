// What the shells make of their completions: each is run with its script, where it is installed.

import EmbedCommand
import Foundation
import TestSupport
import Testing

@Suite struct CompletionTests {
  /// What is offered where a command line of `embedkernel` ends: `--` and files are the test's.
  struct Case: CustomStringConvertible, Sendable {
    let line: String
    let offered: [String]
    /// What must not be among them.
    var never: [String] = []
    var description: String { line }
  }

  static let cases = [
    Case(line: "emb", offered: ["embed"]),
    Case(line: "ro", offered: ["rotate"]),
    Case(line: "embed --back", offered: ["--backend"], never: ["--batch"]),
    Case(line: "embed --backend ", offered: ["auto", "openblas", "simd", "native"]),
    Case(line: "embed --threads 2 --backend si", offered: ["simd"], never: ["native"]),
    // Its help says NAME.
    Case(line: "step --optimizer row", offered: ["row-wise-adagrad"]),
    Case(line: "embed --scale s", offered: ["sqrt-dim"]),
    Case(line: "positions al", offered: ["alibi"]),
    Case(line: "completions ", offered: ["bash", "zsh", "fish"]),
    Case(line: "help spec", offered: ["spectrum"]),
    Case(line: "embed --token-ids i", offered: ["ids.npy"]),
    Case(line: "embed --text n", offered: ["notes"]),
    Case(line: "rotate --config c", offered: ["config.json"]),
    Case(line: "evaluate r", offered: ["run"]),
    // An operand that is called as a command is.
    Case(line: "tokenize demo --wid", offered: ["--width"], never: ["--seed"]),
    // A number is no file.
    Case(line: "embed --batch ", offered: [], never: ["ids.npy", "notes", "--text"]),
  ]

  /// A folder with files to offer.
  private static func place() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for name in ["ids.npy", "notes", "config.json"] { _ = try folder.file(name, "") }
    try FileManager.default.createDirectory(
      atPath: folder.path("run"), withIntermediateDirectories: false)
    return folder
  }

  private func check(_ test: Case, _ offered: [String]) {
    let names = Set(offered.map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 })
    for name in test.offered { #expect(names.contains(name), "\(names.sorted())") }
    for name in test.never { #expect(!names.contains(name), "\(names.sorted())") }
  }

  @Test(.enabled(if: isInstalled("bash")), arguments: cases)
  func bash(_ test: Case) throws {
    let folder = try Self.place()
    // As bash cuts the line.
    let words = (["embedkernel"] + test.line.components(separatedBy: " "))
    let program = """
      source \(try script("bash", folder))
      COMP_WORDS=(\(words.map { "'\($0)'" }.joined(separator: " ")))
      COMP_CWORD=\(words.count - 1)
      _embedkernel
      printf '%s\\n' "${COMPREPLY[@]}"
      """
    check(test, try output("bash", ["--norc", "-c", program], in: folder))
  }

  @Test(
    .enabled(if: isInstalled("bash")),
    arguments: [
      (["embed", "--backend", "=", "si"], "simd"), (["embed", "--backend", "="], "native"),
      (["embed", "--backend=si"], "--backend=simd"), (["embed", "--text", "a b"], "a b.txt"),
      (["embed", "--token-ids", "w"], ""),
    ])
  func bashTakesEqualSignsAndSpaces(_ words: [String], _ expected: String) throws {
    let folder = try Self.place()
    _ = try folder.file("a b.txt", "")
    _ = try folder.file("words.txt", "")
    let program = """
      source \(try script("bash", folder))
      COMP_WORDS=(embedkernel \(words.map { "'\($0)'" }.joined(separator: " ")))
      COMP_CWORD=\(words.count)
      _embedkernel
      printf '%s\\n' "${COMPREPLY[@]}"
      """
    let offered = try output("bash", ["--norc", "-c", program], in: folder)
    #expect(offered.contains(expected) || expected.isEmpty && offered.isEmpty, "\(offered)")
  }

  @Test(.enabled(if: isInstalled("fish")), arguments: cases)
  func fish(_ test: Case) throws {
    let folder = try Self.place()
    let program = "source \(try script("fish", folder)); complete -C 'embedkernel \(test.line)'"
    let lines = try output("fish", ["--no-config", "-c", program], in: folder)
    check(test, lines.map { String($0.split(separator: "\t")[0]) })
  }

  /// zsh completes only in a terminal: its module zpty is one, in which a line is typed and Tab pressed.
  @Test(.enabled(if: isInstalled("zsh")), arguments: cases)
  func zsh(_ test: Case) throws {
    let folder = try Self.place()
    let program = """
      zmodload zsh/zpty
      zpty shell zsh -f -i
      zpty -w shell 'PS1=; unsetopt zle_bracketed_paste; stty -echo 2>/dev/null'
      zpty -w shell 'autoload -Uz compinit && compinit -u -D && source \(try script("zsh", folder))'
      # What is offered goes to a file, a word a line, in place of the screen.
      zpty -w shell 'compadd() { local -a found; builtin compadd -O found "$@"; \
      print -l -- $found >> \(folder.path("offered")); builtin compadd "$@"; }'
      zpty -w shell 'finish() { print > \(folder.path("done")); exit; }; zle -N finish; bindkey "^X" finish'
      zpty -n -w shell $'embedkernel \(test.line)\\t\\C-x'
      for wait in {1..300}; do
        zpty -r -t shell reply
        [[ -e \(folder.path("done")) ]] && break
        sleep 0.1
      done
      cat \(folder.path("offered")) 2>/dev/null
      [[ -e \(folder.path("done")) ]]
      """
    check(test, try output("zsh", ["-f", "-c", program], in: folder))
  }

  /// Whatever stands for a value in the help is known to be one of a few words, a file or neither.
  @Test func everyPlaceholderIsKnown() throws {
    let free: Set = [
      "BYTES", "D", "ENDING,ENDING,...", "H", "ID", "JSON", "K", "M", "N", "N,N,...", "N|NAME",
      "NAME",
      "NAME,NAME,...", "NORM", "NUMBER", "R", "RATE", "ROW", "ROWSxCOLUMNS", "T", "TEXT", "TOKENS",
    ]
    let commands = try embedkernel(["help"]).lines.compactMap {
      try /\ \ ([a-z]+)\ .*/.wholeMatch(in: $0).map { String($0.1) }
    }
    #expect(commands.count >= 17)
    var seen: Set<String> = []
    for command in commands {
      for line in try embedkernel([command, "--help"]).lines {
        guard let match = try /\ \ --[a-z0-9-]+\ ([^ ]+).*/.wholeMatch(in: line) else { continue }
        seen.insert(String(match.1))
      }
    }
    #expect(seen.count > 40)
    for placeholder in seen {
      #expect((Completion(placeholder: placeholder) == .nothing) == free.contains(placeholder))
    }
    #expect(free.isSubset(of: seen))
  }

  @Test func anotherShellIsRefused() throws {
    let result = try embedkernel(["completions", "fishy"])
    #expect(result.code == 2)
    #expect(result.output.isEmpty)
    #expect(result.errors.contains("'fishy' is none of bash, zsh, fish; did you mean 'fish'?"))
  }

  /// Each command and option has its place in the manual page, and no request begins by mistake.
  @Test func manualPageIsWhole() throws {
    let page = try embedkernel(["man"])
    #expect(page.code == 0)
    #expect(page.lines[0].hasPrefix(".TH EMBEDKERNEL 1 \"20"))
    let version = try embedkernel(["--version"]).output.dropLast()
    #expect(page.lines[0].contains("\"\(version)\""))
    for name in ["demo", "embed", "tune", "man"] { #expect(page.lines.contains(".SS \(name)")) }
    #expect(page.output.contains("\\fB\\-\\-token\\-ids\\fR \\fINPY\\fR"))
    let requests: Set = [".TH", ".SH", ".SS", ".P", ".TP", ".B", ".I"]
    for line in page.lines where line.first == "." || line.first == "'" {
      #expect(requests.contains(line.components(separatedBy: " ")[0]), "\(line)")
    }
    #expect(page.output.utf8.allSatisfy { $0 < 128 })
  }

  @Test(
    arguments: [
      ["groff", "-man", "-ww", "-z", "-Tutf8"], ["mandoc", "-man", "-T", "lint", "-W", "warning"],
    ].filter { isInstalled($0[0]) })
  func manualPageIsClean(_ command: [String]) throws {
    let folder = try TemporaryFolder()
    let path = try folder.file("embedkernel.1", try embedkernel(["man"]).output)
    #expect(try output(command[0], command.dropFirst() + [path], in: folder) == [])
  }

  private func script(_ shell: String, _ folder: TemporaryFolder) throws -> String {
    let result = try embedkernel(["completions", shell])
    #expect(result.code == 0)
    return try folder.file("completions", result.output)
  }

  /// The lines that a program prints, on either stream; it must end well.
  private func output(
    _ program: String, _ arguments: [String], in folder: TemporaryFolder
  ) throws -> [String] {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [program] + arguments
    process.currentDirectoryURL = folder.url
    process.environment = ProcessInfo.processInfo.environment.merging(
      ["HOME": folder.url.path, "TERM": "xterm", "XDG_CONFIG_HOME": folder.url.path]
    ) { $1 }
    let pipe = Pipe()
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let bytes = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let text = String(decoding: bytes, as: UTF8.self)
    #expect(process.terminationStatus == 0, "\(text)")
    return text.split(separator: "\n").map(String.init)
  }
}

/// Whether a program is on the PATH; a test that lacks it says that it is skipped.
private func isInstalled(_ program: String) -> Bool {
  (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
    FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
  }
}
