// The package's version, which stands nowhere else: the command, the C library, the wheel and the files
// of a release take it from here, scripts by `scripts/version`. `scripts/release` sets it.

package enum Release {
  /// Three numbers, as semantic versions are.
  package static let version = "0.1.0"
  /// The day of its release, or of the latest one's.
  package static let date = "2026-11-29"
}
