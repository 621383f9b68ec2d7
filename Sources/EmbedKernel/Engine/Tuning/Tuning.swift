// The sizes at which another way of running a call becomes faster. Built in are those of the
// development machines; `embedkernel tune` measures those of a machine and saves them.
//
// A tuning changes how long a call takes, never a bit of what it computes.

internal import CKernels

/// The sizes at which another way becomes faster.
package struct Tuning: Hashable, Sendable {
  /// From this many output bytes on, threads gain more than waking them costs.
  package var parallelBytes = 192 << 10
  /// From this many output bytes on, the output is written past the cache.
  package var streamingBytes = 8 << 20
  /// From this many output bytes on, rows to come are prefetched.
  package var prefetchBytes = 64 << 10
  /// How many rows ahead, as far as they fit in `prefetchLimit` bytes.
  package var prefetchRows = 12
  /// A quarter of a 1 MiB L2.
  package var prefetchLimit = 256 << 10

  /// Floats go into L1 where that is at most so many bytes ahead, else into L2.
  package var nearBytes = 0
  /// From this many output bytes on, where all sequences share their positions, they are written position by
  /// position; smaller outputs are in cache whichever way they are walked.
  package var byPositionBytes = 64 << 10

  /// How far ahead gradients' sums and optimisers' steps prefetch, in bytes of all that a row takes.
  package var updateBytesAhead = 12 << 10
  /// Into L1 where that is at most so far, else into L2.
  package var updateNearBytes = 16 << 10

  /// Outputs of so many bytes or more are AVX2's.
  package var avx2Bytes = Tuning.never
  /// Rows in cache of this many floats or more are written by AVX2, half a line a store; see `Defaults`.
  package var avx2Dim = 128

  /// What a forward call of `auto` runs on, by its size.
  package var backends = Backends()

  /// The built-in values.
  package init() {}

  /// A backend for each class of sizes.
  package struct Backends: Hashable, Sendable {
    /// Outputs below `prefetchBytes`: rows and output are in cache.
    package var small = Backend.native
    /// Outputs from there on and below `streamingBytes`.
    package var medium = Backend.native
    /// Outputs from `streamingBytes` on.
    package var large = Backend.native

    package init() {}
  }

  /// A limit that no output reaches.
  package static let never = 1 << 40

  /// The backend of a forward call.
  @inline(__always)
  func backend(outputBytes bytes: Int) -> Backend {
    if bytes < prefetchBytes { return backends.small }
    return bytes < streamingBytes ? backends.medium : backends.large
  }
}

extension Tuning {
  /// What is built in for this CPU: Zen 4's limits, but for the cores that were seen to gain from others.
  package static let builtIn = {
    var tuning = Tuning()
    if ek_this_microarchitecture() == EK_GOLDEN_COVE {
      // It has 2 MiB of its own, so what is written leaves sooner; its narrow rows wait longer for memory; and
      // it stores a whole line a cycle.
      tuning.streamingBytes = 1 << 20
      (tuning.prefetchRows, tuning.prefetchLimit) = (24, 64 << 10)
      tuning.avx2Dim = never
    }
    return tuning
  }()

  /// What this process takes: the file that `embedkernel tune` saved for this CPU, or else what is
  /// built in. Read at the first use; from then on a load.
  package static let inForce = TuningSource.ofProcess.tuning
}
