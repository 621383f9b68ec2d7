// Which tuning this process takes, and why: decided once, from the environment and the user's cache
// folder. Whatever is wrong with the file, the built-in tuning serves.

internal import CSystem

/// A tuning and where it comes from.
package struct TuningSource: Sendable {
  /// Where a tuning comes from.
  package enum Origin: Equatable, Sendable, CustomStringConvertible {
    /// Measured, from the file at the path.
    case file(String)
    /// Built in, for the reason given.
    case builtIn(String)

    package var description: String {
      switch self {
      case .file(let path): "measured on this machine, '\(path)'"
      case .builtIn(let reason): "built in, as \(reason)"
      }
    }
  }

  package let tuning: Tuning
  package let origin: Origin

  /// The variable that turns the file off, or names another.
  package static let variable = "EMBEDKERNEL_TUNING"

  /// What this process takes. The file is read at the first use.
  package static let ofProcess = TuningSource(
    choice: environment(variable), cacheFolder: cacheFolder, machine: .current)

  /// Decides.
  ///
  /// - Parameters:
  ///   - choice: `off`, a file's path, or nil for the file of this machine in the cache folder.
  ///   - cacheFolder: The user's; nil where there is none.
  ///   - machine: What the file must be for.
  package init(choice: String?, cacheFolder: String?, machine: TunedMachine?) {
    guard choice != "off" else {
      self.init(reason: "\(Self.variable) is off")
      return
    }
    guard let machine else {
      self.init(reason: "the system does not tell the CPU's model")
      return
    }
    let isNamed = choice != nil && choice != "auto"
    guard let path = isNamed ? choice : cacheFolder.map({ Self.path($0, machine) }) else {
      self.init(reason: "there is no cache folder: neither XDG_CACHE_HOME nor HOME is set")
      return
    }
    do throws(TuningFileError) {
      self.init(tuning: try TuningFile(reading: path, for: machine).tuning, origin: .file(path))
    } catch .unreadable(.system(_, _, ENOENT)) {
      self.init(reason: "there is no '\(path)'")
    } catch {
      self.init(reason: "'\(path)' is ignored: \(error)")
    }
  }

  private init(reason: String) {
    self.init(tuning: .builtIn, origin: .builtIn(reason))
  }

  private init(tuning: Tuning, origin: Origin) {
    self.tuning = tuning
    self.origin = origin
  }

  /// Where the tuning of `machine` is kept.
  package static func path(_ cacheFolder: String, _ machine: TunedMachine) -> String {
    cacheFolder + "/" + machine.fileName
  }

  /// The user's cache folder of this project; nil where the environment names no home.
  package static var cacheFolder: String? {
    // The base directory specification has relative paths ignored.
    if let folder = environment("XDG_CACHE_HOME"), folder.hasPrefix("/") {
      return folder + "/embedkernel"
    }
    #if os(macOS)
      return environment("HOME").map { $0 + "/Library/Caches/embedkernel" }
    #else
      return environment("HOME").map { $0 + "/.cache/embedkernel" }
    #endif
  }
}
