// The library as a dependency: the package in Tests/Consumer builds, links and runs.
//
// The build has a folder of its own within .build, for the one around this test is locked while it
// runs; later runs build only what has changed.

import Foundation
import TestSupport
import Testing

@Suite(.serialized) struct ConsumerPackageTests {
  static let root = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  static let scratch = root.appending(path: ".build/consumer").path

  @Test func buildsAndRuns() throws {
    // SwiftPM keeps the plan of an earlier build and overlooks files added to a dependency since.
    try? FileManager.default.removeItem(atPath: "\(Self.scratch)/debug.yaml")
    let build = [
      "swift", "build", "--package-path", Self.root.appending(path: "Tests/Consumer").path,
      "--scratch-path", Self.scratch,
    ]
    let built = try Self.run(build)
    try #require(built.status == 0, "\(built.output)")

    let folder = try TemporaryFolder()
    let place = try Self.run(build + ["--show-bin-path"])
    let binary = "\(try #require(place.output.split(separator: "\n").last))/Consumer"
    let ran = try Self.run([binary, folder.url.path])
    #expect(ran.status == 0)
    #expect(
      ran.output == """
        [2, 3, 4]
        [40.0, 0.25, 30.5, 10.0, 10.25, 20.5]
        expected elements of type int32, found int64

        """)
    #expect(
      try folder.contents == ["ids.npy", "output.npy", "positions.npy", "tokens.npy"])
  }

  /// A package with unsafe flags cannot be depended on by version, which a dependency by path does
  /// not show.
  @Test func usesNoUnsafeFlags() throws {
    let manifest = try Self.run([
      "swift", "package", "--package-path", Self.root.path, "--scratch-path", Self.scratch,
      "dump-package",
    ])
    try #require(manifest.status == 0, "\(manifest.output)")
    #expect(manifest.output.contains(#""name" : "EmbedKernel""#))
    #expect(!manifest.output.contains("unsafeFlags"))
  }

  /// Runs a program to its end; both its streams are the output.
  static func run(_ command: [String]) throws -> (status: Int32, output: String) {
    let process = Process()
    let pipe = Pipe()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = command
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: output, as: UTF8.self))
  }
}
