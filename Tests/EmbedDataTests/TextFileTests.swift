// Tokens of a text file in memory: the parts in which it is read must not show.

import EmbedData
import Foundation
import Testing

@Suite struct TextFileTests {
  @Test(arguments: [1, 7, 64, 1 << 16], [0, 1, 63, 64, 65, 1000, Int.max])
  func givesTheFirstIDsWhateverThePartSize(_ partSize: Int, _ limit: Int) throws {
    let bytes = (0..<900).map { UInt8(truncatingIfNeeded: $0 * 31 + $0 / 7) }
    let url = FileManager.default.temporaryDirectory.appending(path: "text-\(UUID())")
    try Data(bytes).write(to: url)
    defer { try? FileManager.default.removeItem(at: url) }
    let ids = try ByteTokenizer().encode(file: url.path, limit: limit, partSize: partSize)
    #expect(ids == bytes.prefix(limit).map { Int32($0) })
  }

  @Test func namesAFileThatIsNotThere() {
    #expect(throws: DataError.file(.system(operation: "open", path: "/absent/text", code: ENOENT)))
    {
      try ByteTokenizer().encode(file: "/absent/text")
    }
  }
}
