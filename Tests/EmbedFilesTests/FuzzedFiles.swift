// What fuzz tests of every format do alike: good files cut at every length, and mutated ones.

import Foundation
import TestSupport
import Testing

/// A reader of files, which must survive any bytes.
struct FuzzedFiles {
  /// Reads the file in every way there is; true where all find it good.
  let survives: (String) -> Bool

  /// Cuts the file at every length.
  func expectTruncationsRefused(_ path: String) throws {
    let folder = try TemporaryFolder()
    let cut = folder.path("cut")
    let whole = try Data(contentsOf: URL(filePath: path))
    for length in 0..<whole.count {
      try whole.prefix(length).write(to: URL(filePath: cut))
      #expect(!survives(cut), "\(length) bytes of \(path) were taken for a whole file")
    }
    try whole.write(to: URL(filePath: cut))
    #expect(survives(cut))
  }

  /// Mutates 400 of the files.
  func expectMutationsSurvived(
    _ paths: [String], seed: UInt64, _ mutate: (inout SeededGenerator, inout [UInt8]) -> Void
  ) throws {
    var random = SeededGenerator(seed: seed)
    let folder = try TemporaryFolder()
    let path = folder.path("mutated")
    let files = try paths.map { try Data(contentsOf: URL(filePath: $0)) }
    var good = 0
    for _ in 0..<400 {
      var bytes = Array(try #require(files.randomElement(using: &random)))
      mutate(&random, &bytes)
      try Data(bytes).write(to: URL(filePath: path))
      if survives(path) { good += 1 }
    }
    // Both outcomes must have been seen, or the mutations test nothing.
    #expect(good > 20 && good < 380)
  }
}
