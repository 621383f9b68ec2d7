// Reads the JSON in a safetensors header: an object of objects with three known keys, and an object
// of strings. As in the reference library, further keys of a tensor are passed over and the texts may be
// null; a name that is given twice is refused, where the reference takes one. Names are compared as
// bytes.

/// What one header's text says.
struct SafetensorsHeaderParser {
  /// One member of the header, as it stands there.
  struct Entry {
    var name: String
    var type: SafetensorsType
    var shape: [Int]
    var start: Int
    var end: Int
  }

  private(set) var entries: [Entry] = []
  private(set) var metadata: [String: String] = [:]
  /// The first name that is given twice.
  private var duplicate: String?

  /// Levels of a value that is passed over: those that the reference library allows.
  private static let skippedLevels = 125

  /// - Parameter offset: Where `text` begins in the file.
  init(path: String, text: [UInt8], offset: Int) throws(SafetensorsError) {
    var reader = JSONReader(text)
    do throws(JSONError) {
      try read(&reader)
    } catch {
      // What is given twice stands before the place where reading stopped.
      if let duplicate { throw .duplicateName(path: path, name: duplicate) }
      throw .malformedHeader(path: path, offset: offset + error.offset, expected: error.expected)
    }
    if let duplicate { throw .duplicateName(path: path, name: duplicate) }
  }

  private mutating func read(_ reader: inout JSONReader) throws(JSONError) {
    var names = Set<[UInt8]>()
    try reader.object { (reader, key) throws(JSONError) in
      note(key, &names)
      if key == "__metadata__" {
        try readMetadata(&reader)
      } else {
        try readEntry(key, &reader)
      }
    }
    try reader.end(after: "the object")
  }

  private mutating func note(_ key: String, _ names: inout Set<[UInt8]>) {
    if !names.insert(Array(key.utf8)).inserted { duplicate = duplicate ?? key }
  }

  private mutating func readMetadata(_ reader: inout JSONReader) throws(JSONError) {
    if reader.takeNull() { return }
    var keys = Set<[UInt8]>()
    try reader.object { (reader, key) throws(JSONError) in
      note(key, &keys)
      metadata[key] = try reader.string("a string")
    }
  }

  private mutating func readEntry(
    _ name: String, _ reader: inout JSONReader
  ) throws(JSONError) {
    var type: SafetensorsType?
    var shape: [Int]?
    var offsets: [Int]?
    var keys = Set<[UInt8]>()
    try reader.object { (reader, key) throws(JSONError) in
      switch key {
      case "dtype": type = SafetensorsType(rawValue: try reader.string("a type's name"))
      case "shape": shape = try reader.wholeNumbers()
      case "data_offsets":
        offsets = try reader.wholeNumbers()
        guard offsets?.count == 2 else { throw reader.fault("two offsets before this") }
      default: return try reader.skip(levels: Self.skippedLevels)
      }
      note(key, &keys)
    }
    guard let type else { throw reader.fault("a 'dtype' before this") }
    guard let shape else { throw reader.fault("a 'shape' before this") }
    guard let offsets else { throw reader.fault("'data_offsets' before this") }
    entries.append(
      Entry(name: name, type: type, shape: shape, start: offsets[0], end: offsets[1]))
  }
}
