// Small text files read and written whole, such as a model's configuration or a drawing.

/// Whole files of UTF-8.
package enum TextFile {
  /// The text of the file at `path`.
  ///
  /// - Parameter limit: Of a longer file only so many bytes are read.
  /// - Throws: `FileError` where the system refuses.
  package static func read(_ path: String, limit: Int = 64 << 20) throws(FileError) -> String {
    let file = try InputFile(path)
    let bytes = try file.bytes(at: 0, count: limit)
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Writes `text` to the file at `path`, which appears whole or not at all.
  ///
  /// - Throws: `FileError` where the system refuses.
  package static func write(_ text: String, to path: String) throws(FileError) {
    var file = try OutputFile(path)
    let bytes = Array(text.utf8)
    let span = bytes.span
    try unsafe file.write(span.bytes)
    try file.commit()
  }

  /// The first `limit` bytes of a file of the system's, which tells no size in advance; nil where there
  /// is none.
  package static func ofSystem(_ path: String, limit: Int = 4 << 10) -> String? {
    guard var stream = try? InputStream(path) else { return nil }
    var bytes: [UInt8] = []
    guard (try? stream.read(limit, appendingTo: &bytes)) != nil else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }
}
