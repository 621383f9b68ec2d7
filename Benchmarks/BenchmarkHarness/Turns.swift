// Turns between benchmark processes that are compared: each waits for a byte on a pipe before a run
// of a benchmark and answers with one after it, so that the runs of several processes alternate
// within milliseconds and whatever else the machine does falls on all of them alike.

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif
internal import Foundation

/// Given as `EMBEDBENCH_TURN_PIPES=IN,OUT`, two open file descriptors. `scripts/bench compare` looks
/// for this name in a program to learn whether it takes turns.
internal struct Turns: Sendable {
  static let variable = "EMBEDBENCH_TURN_PIPES"

  /// Nil where no pipes are given.
  static let shared = ProcessInfo.processInfo.environment[variable].flatMap { Turns($0) }

  private let input: Int32
  private let output: Int32

  init?(_ text: String) {
    let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map { Int32($0) }
    guard numbers.count == 2, let input = numbers[0], let output = numbers[1], input >= 0,
      output >= 0
    else { return nil }
    self.input = input
    self.output = output
  }

  /// Waits for this process's turn; a closed pipe means that no one else is left.
  func take() {
    var byte: UInt8 = 0
    while unsafe read(input, &byte, 1) == -1, errno == EINTR {}
  }

  /// Ends the turn.
  func pass() {
    var byte = UInt8(ascii: "d")
    while unsafe write(output, &byte, 1) == -1, errno == EINTR {}
  }
}
