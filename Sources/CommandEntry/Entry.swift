// The program `embedkernel`: what the library EmbedCommand does with the words it is called by. The
// rest is a library, so that tests and the fuzzer can link it.

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif
internal import EmbedCommand

@main enum Entry {
  static func main() { exit(Program.run(Array(CommandLine.arguments.dropFirst()))) }
}
