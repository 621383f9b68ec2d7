// Where the fixtures of these tests are.

import Foundation

enum Fixtures {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "Fixtures")
}
