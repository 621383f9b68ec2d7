// The package's version, which stands nowhere else: the command, the C library, the wheel and the files
// of a release take it from here, scripts by `scripts/version`. `scripts/release` sets it.

package enum Release {
  /// Three numbers, as semantic versions are.
  package static let version = "0.1.0"
}
