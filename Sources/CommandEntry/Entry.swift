// The program `embedkernel`: what the library EmbedCommand does with the words it is called by. The
// rest is a library, so that tests and the fuzzer can link it.

internal import CSystem
internal import EmbedCommand

@main enum Entry {
  static func main() { exit(Program.run(Array(CommandLine.arguments.dropFirst()))) }
}
