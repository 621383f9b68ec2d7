// The strings that may name an element type, against what NumPy makes of them: read as that type or
// refused by name, and never as another. The fixture comes from make_npy_fixtures.py.

import EmbedFiles
import Foundation
import TestSupport
import Testing

@Suite struct NumPyDescriptorTests {
  private struct Fixture: Decodable {
    let descriptors: [String: String?]
  }

  @Test func everySpellingMeansWhatNumPyTakesItFor() throws {
    let data = try Data(contentsOf: URL(filePath: NumPyFixtures.path("descriptors.json")))
    let descriptors = try JSONDecoder().decode(Fixture.self, from: data).descriptors
    let folder = try TemporaryFolder()
    let path = folder.path("a.npy")
    var read = 0
    for (text, meaning) in descriptors {
      // Two bytes without a meaning are bfloat16 to JAX; their order is ignored.
      let type = meaning.flatMap { NumPyElementType(rawValue: $0 == "|V2" ? "<V2" : $0) }
      let file = NumPyErrorTests.file(
        "{'descr': '\(text)', 'fortran_order': False, 'shape': (3,)}",
        data: 3 * (type?.byteCount ?? 4))
      try file.write(to: URL(filePath: path))
      do throws(NumPyError) {
        let header = try NumPyHeader(contentsOf: path)
        #expect(header.elementType == type, "\(text)")
        read += 1
      } catch {
        switch error {
        case .bigEndian(path, text): #expect(meaning?.hasPrefix(">") == true || text == ">V2")
        case .unsupportedElementType(path, text): #expect(type == nil, "\(text)")
        default: Issue.record("\(text): \(error)")
        }
        #expect(error.description.contains("\"\(text)\""))
      }
    }
    // Some of either, or the fixture tests nothing.
    #expect(read > 100 && read < descriptors.count - 50)
  }
}
