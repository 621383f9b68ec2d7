// What a check of OpenBLAS comes to, from the lines that its process wrote and how it ended.

internal import EmbedKernel

package struct BLASVerdict {
  package private(set) var library = "unknown"
  package private(set) var core = "unknown"
  package private(set) var lines: [(routine: String, outcome: String, detail: String)] = []
  /// What is wrong; empty where nothing is.
  package private(set) var faults: [String] = []

  /// - Parameters:
  ///   - output: `library NAME`, `core NAME`, and for each routine `begin ROUTINE`, then `right ROUTINE
  ///     CASES` or `wrong ROUTINE FAULT`.
  ///   - ending: How the process ended where that was not well.
  package init(output: String, ending: String?) {
    var running: String?
    var missing = BLASCheck.all.map(\.routine)
    for line in output.split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 2).map(String.init)
      guard words.count >= 2 else { continue }
      let rest = words.count == 3 ? words[2] : ""
      switch words[0] {
      case "library": library = String(line.dropFirst("library ".count))
      case "core": core = words[1]
      case "begin": running = words[1]
      case "right", "wrong":
        running = nil
        missing.removeAll { $0 == words[1] }
        let isRight = words[0] == "right"
        lines.append((words[1], isRight ? "right" : "WRONG", isRight ? "\(rest) cases" : rest))
        if !isRight { faults.append("\(words[1]) computes wrongly (\(rest))") }
      default: break
      }
    }
    if let running {
      let ending = ending ?? "ended early"
      lines.append((running, "FAILED", ending))
      faults.append("\(running) \(ending)")
    } else if let ending {
      faults.append("the check \(ending)")
    } else if !missing.isEmpty {
      faults.append("the check left out \(missing.joined(separator: ", "))")
    }
  }

  /// What is wrong, where, and what to do; nil where nothing is wrong.
  package func message(cpu: String) -> String? {
    guard !faults.isEmpty else { return nil }
    return "OpenBLAS does not compute right on this CPU (\(cpu)): "
      + "\(faults.joined(separator: "; ")). Install a newer OpenBLAS than '\(library)', or have it "
      + "take another core's kernels than \(core)'s (OPENBLAS_CORETYPE=Haswell, say), and check again"
  }
}
