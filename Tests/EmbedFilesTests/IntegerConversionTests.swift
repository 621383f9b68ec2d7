// Floating-point numbers to integers: what no Int holds has an answer, and the form that traps is kept
// out of every module.

import EmbedFiles
import Foundation
import Testing

@Suite struct IntegerConversionTests {
  @Test(arguments: [
    (0.0, 0), (-0.0, 0), (2.9, 2), (-2.9, -2), (1e18, 1_000_000_000_000_000_000), (1e19, .max),
    (-1e19, .min), (0x1p63, .max), (-0x1p63, .min), (0x1p63.nextDown, 9_223_372_036_854_774_784),
    (.infinity, .max), (-.infinity, .min), (.nan, 0), (.greatestFiniteMagnitude, .max),
    (.leastNonzeroMagnitude, 0),
  ])
  func saturates(_ value: Double, to expected: Int) {
    #expect(Int(saturating: value) == expected)
  }

  /// The file that makes `Int(_:)` of a Double an error shadows the standard library's only in the
  /// module it is part of.
  @Test func everyModuleHasTheGuard() throws {
    let sources = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "../../Sources").standardized
    let modules = try FileManager.default.contentsOfDirectory(atPath: sources.path).filter {
      let folder = FileManager.default.enumerator(atPath: sources.appending(path: $0).path)
      return folder?.contains { ($0 as? String)?.hasSuffix(".swift") ?? false } ?? false
    }
    #expect(modules.contains("EmbedKernel") && modules.count >= 5)
    let guardText = try String(
      contentsOf: sources.appending(path: "EmbedFiles/IntegerConversion.swift"),
      encoding: .utf8)
    #expect(guardText.contains("deprecated") && guardText.contains("init(_ value: Double)"))
    for module in modules where module != "EmbedFiles" {
      let file = sources.appending(path: "\(module)/IntegerConversion.swift")
      #expect((try? String(contentsOf: file, encoding: .utf8)) == guardText, "\(module)")
    }
  }

  @Test func numbersInMessagesAreLegible() {
    #expect((-Double(nan: 0x3FA1, signaling: false)).legible == "nan")
    #expect((-Double.infinity).legible == "-inf" && 0.1.legible == "0.1")
  }
}
