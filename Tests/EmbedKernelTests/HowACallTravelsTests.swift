// The article that walks calls through the sources names files; they are there, and no walk is longer
// than it says.

import Foundation
import Testing

@Suite struct HowACallTravelsTests {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  /// The article's sections, each with the number of files its heading says and the files it names.
  private static func walks() throws -> [(title: String, said: Int, files: [String])] {
    let article = root.appending(path: "Sources/EmbedKernel/EmbedKernel.docc/HowACallTravels.md")
    let text = try String(contentsOf: article, encoding: .utf8)
    return text.components(separatedBy: "\n## ").dropFirst().compactMap { section in
      let title = String(section.prefix { $0 != "\n" })
      guard let match = title.firstMatch(of: /(\d+) files/), let said = Int(match.1) else {
        return nil
      }
      let files = section.matches(of: /\n\d+\. `(Sources\/[^`]+)`/).map { String($0.1) }
      return (title, said, files)
    }
  }

  @Test func theFilesAreThere() throws {
    let walks = try Self.walks()
    #expect(walks.count == 5)
    for walk in walks {
      #expect(walk.files.count == walk.said, "\(walk.title)")
      #expect(Set(walk.files).count == walk.files.count, "\(walk.title) names a file twice")
      for file in walk.files {
        #expect(
          FileManager.default.fileExists(atPath: Self.root.appending(path: file).path), "\(file)")
      }
    }
  }
}
