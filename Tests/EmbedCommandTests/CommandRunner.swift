// Runs the command that was built beside the tests, and gives what a shell would see.

import Foundation
import TestSupport
import Testing

/// What a run of the command left behind.
struct CommandResult {
  let code: Int32
  let output: String
  let errors: String

  /// The lines of standard output.
  var lines: [String] { output.split(separator: "\n").map(String.init) }
}

/// Runs `embedkernel` to its end.
///
/// - Parameters:
///   - environment: Changes to this process's environment; nil takes a variable away.
///   - device: Where standard output goes instead of into the result.
///   - place: The folder that relative paths start from; nil for this process's.
func embedkernel(
  _ arguments: [String], environment: [String: String?] = [:], to device: String? = nil,
  in place: TemporaryFolder? = nil
) throws -> CommandResult {
  let process = Process()
  process.executableURL = try builtCommand()
  process.arguments = arguments
  var variables = ProcessInfo.processInfo.environment
  for name in variables.keys where name.hasPrefix("EMBEDKERNEL_") { variables[name] = nil }
  // The built-in limits, whatever was measured on this machine.
  variables["EMBEDKERNEL_TUNING"] = "off"
  for (name, value) in environment { variables[name] = value }
  process.environment = variables

  // Files rather than pipes, which fill up while nobody reads them.
  let folder = try TemporaryFolder()
  let streams = try ["output", "errors"].map { name in
    try FileHandle(forWritingTo: URL(filePath: try folder.file(name, "")))
  }
  if let place { process.currentDirectoryURL = place.url }
  process.standardInput = FileHandle.nullDevice
  process.standardOutput =
    try device.map { try FileHandle(forWritingTo: URL(filePath: $0)) } ?? streams[0]
  process.standardError = streams[1]
  try process.run()
  process.waitUntilExit()
  try #require(process.terminationReason == .exit, "ended by signal \(process.terminationStatus)")
  func text(_ name: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(filePath: folder.path(name))), as: UTF8.self)
  }
  return CommandResult(
    code: process.terminationStatus, output: try text("output"), errors: try text("errors"))
}

/// Starts `embedkernel`, whose words nobody reads.
func startedEmbedkernel(_ arguments: [String]) throws -> Process {
  let process = Process()
  process.executableURL = try builtCommand()
  process.arguments = arguments
  process.standardInput = FileHandle.nullDevice
  process.standardOutput = FileHandle.nullDevice
  process.standardError = FileHandle.nullDevice
  try process.run()
  return process
}

/// Runs `embedkernel` and kills it by a signal that cannot be caught.
///
/// - Parameters:
///   - isDue: Asked again and again, and true where the process is to be killed.
/// - Returns: Whether the process was still running.
func killedEmbedkernel(_ arguments: [String], when isDue: () -> Bool) throws -> Bool {
  let process = try startedEmbedkernel(arguments)
  while process.isRunning, !isDue() { usleep(200) }
  kill(process.processIdentifier, SIGKILL)
  process.waitUntilExit()
  return process.terminationReason == .uncaughtSignal
}

#if os(Linux)
  /// Runs `embedkernel` to its end, and gives the most memory that it had, in kB.
  ///
  /// The system's account of ended children is of no use here: a child begins with this process's own.
  func peakOfEmbedkernel(_ arguments: [String]) throws -> Int {
    let process = Process()
    process.executableURL = try builtCommand()
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    let path = "/proc/\(process.processIdentifier)/status"
    var peak = 0
    while process.isRunning {
      if let status = try? String(contentsOfFile: path, encoding: .utf8),
        let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }),
        let size = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
      {
        peak = max(peak, size)
      }
      usleep(500)
    }
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    return peak
  }
#endif

/// A rank file of the bytes with the ids 0 to 255 and more tokens.
func rankFile(_ folder: TemporaryFolder, _ more: [(String, Int)]) throws -> String {
  let bytes = (UInt8.min...UInt8.max).map { (Data([$0]), Int($0)) }
  let lines = (bytes + more.map { (Data($0.0.utf8), $0.1) }).map {
    "\($0.0.base64EncodedString()) \($0.1)\n"
  }
  return try folder.file("ranks.tiktoken", lines.joined())
}

/// The product beside the test bundle.
func builtCommand() throws -> URL {
  let bundle =
    Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") }?.bundleURL
    ?? Bundle.main.bundleURL
  let folders = [bundle, bundle.deletingLastPathComponent()]
  let found = folders.map { $0.appending(path: "embedkernel") }.first {
    FileManager.default.isExecutableFile(atPath: $0.path)
  }
  return try #require(found, "no embedkernel beside \(bundle.path)")
}
