// The JSON reader: values, faults with their place, and that no bytes can make it trap.

import EmbedFiles
import TestSupport
import Testing

@Suite struct JSONTests {
  @Test func valuesOfEveryKind() throws {
    let value = try JSONValue(
      parsing: #" {"a": [1, -2.5, 1e3, true, false, null], "b": {"c": "é\n\u00e9\ud83d\ude00"}} "#)
    #expect(
      value["a"]
        == .array([.integer(1), .number(-2.5), .number(1000), .bool(true), .bool(false), .null]))
    #expect(value["b"]?["c"] == .string("é\né😀"))
    #expect(value["d"] == nil)
    #expect(try JSONValue(parsing: "9223372036854775807") == .integer(.max))
    #expect(try JSONValue(parsing: "9223372036854775808") == .number(9_223_372_036_854_775_808))
    #expect(try JSONValue(parsing: "NaN").double?.isNaN == true)
    #expect(try JSONValue(parsing: "-Infinity") == .number(-.infinity))
  }

  @Test(arguments: [
    ("", 0), ("{", 1), ("{\"a\"", 4), ("{\"a\":1,}", 7), ("[1 2]", 3), ("01", 0), ("1.", 0),
    ("nul", 0), ("\"\\x\"", 2), ("\"a", 2), ("\"\u{1}\"", 1), ("\"\\ud800x\"", 7), ("1 1", 2),
    ("{\"a\":1,\"a\":2}", 7), ("+1", 0), (".5", 0), ("0x10", 0), ("\"\\u12g4\"", 5),
  ])
  func faultsNameTheirPlace(_ text: String, _ offset: Int) {
    #expect {
      try JSONValue(parsing: text)
    } throws: {
      ($0 as? JSONError)?.offset == offset
    }
  }

  @Test func depthIsBounded() {
    #expect(throws: JSONError.self) {
      try JSONValue(parsing: String(repeating: "[", count: 100_000))
    }
    let fits = String(repeating: "[", count: 128) + String(repeating: "]", count: 128)
    #expect(throws: Never.self) { try JSONValue(parsing: fits) }
  }

  /// Every cut and many changes of a document: an answer or an error, never a trap.
  @Test func noBytesTrap() {
    let document = Array(#"{"a":[1.5e-3,"x\u00e9\\",{"b":null}],"c":-Infinity,"d":true}"#.utf8)
    for end in 0..<document.count {
      let cut = Array(document[..<end])
      #expect(throws: JSONError.self) { try JSONValue(parsing: cut) }
    }
    var random = SeededGenerator(seed: 7)
    var faults = 0
    for _ in 0..<20_000 {
      var bytes = document
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      do { _ = try JSONValue(parsing: bytes) } catch { faults += 1 }
    }
    #expect(faults > 1_000)
  }
}
