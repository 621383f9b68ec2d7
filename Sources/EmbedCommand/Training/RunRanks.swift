// The ranks of a run that mpirun started: their threads, and what they must have alike. Without mpirun a run is alone,
// and MPI is not opened.

internal import EmbedDistributed
internal import EmbedKernel
internal import EmbedTraining

internal import CSystem

/// Whether a run is one of several ranks.
enum MPIUse: String, CaseIterable {
  case auto, on, off
}

/// A run's ranks.
struct RunRanks {
  /// Those that mpirun started; nil for a run alone.
  let communicator: Communicator?

  /// Starts MPI where the options or the environment say so.
  ///
  /// - Throws: `DistributedError` where MPI cannot be used, or ranks have other programs.
  init(_ arguments: Arguments) throws {
    let isUsed =
      switch try arguments[TrainOptions.mpi] {
      case .on: true
      case .off: false
      case .auto: Communicator.isLaunchedByMPI
      }
    communicator =
      isUsed ? try Communicator.mpi(timeOut: arguments[TrainOptions.timeOut]) : nil
  }

  init(_ communicator: Communicator) { self.communicator = communicator }

  /// Whether this rank has the folder, the log and the words.
  var isFirst: Bool { communicator.map { $0.rank == 0 } ?? true }

  /// The threads of a step: what is asked for, or this rank's share of the CPUs that it may use.
  func threads(_ given: Int?) throws -> Int? {
    guard given == nil, let communicator else { return given }
    let places = try communicator.gather(Self.place)
    return max(1, Threads.available / places.count { $0 == Self.place })
  }

  /// The machine and the CPUs of it that this process may use.
  private static let place: String = {
    var name = [CChar](repeating: 0, count: 256)
    unsafe _ = gethostname(&name, name.count - 1)
    let host = String(
      decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let status = (try? TextFile.read("/proc/self/status", limit: 1 << 20)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
    return "\(host) \(line ?? "")"
  }()

  /// Checks that all ranks have the same settings and the same text.
  func agree(_ settings: RunSettings) throws {
    guard let communicator else { return }
    try together { try communicator.agree(settings.facts) }
  }
}
