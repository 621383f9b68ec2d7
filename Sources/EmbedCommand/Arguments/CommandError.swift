// The ways in which the command fails, and their exit codes.

/// A failure that ends the command.
package enum CommandError: Error, Equatable {
  /// The command line is wrong: exit code 2.
  case usage(String)
  /// A file or a number in it is wrong: exit code 1.
  case data(String)
  /// What is wrong has been said, by this rank or by another.
  case told(exitCode: Int32)
}

extension CommandError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .usage(let message), .data(let message): message
    case .told: "told above"
    }
  }
}

/// Names the file at `path` in front of the error that `body` throws.
func naming<Result: ~Copyable, Failure: Error>(
  _ path: String, _ body: () throws(Failure) -> Result
) throws(CommandError) -> Result {
  do throws(Failure) {
    return try body()
  } catch {
    throw .data("'\(path)': \(error)")
  }
}
