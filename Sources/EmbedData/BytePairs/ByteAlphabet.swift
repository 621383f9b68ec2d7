// GPT-2's files write each byte of a token as one printable character: the printable bytes of
// Latin-1 as themselves, the other 68 as U+0100 onwards in order. This is the way back.

/// The map from those characters to bytes.
struct ByteAlphabet {
  /// The byte of each code point up to U+0143, or -1.
  private let bytes: [Int16]

  init() {
    var table = [Int16](repeating: -1, count: 0x144)
    var next = 0x100
    for byte in 0..<256 {
      let printable = (33...126).contains(byte) || (161...172).contains(byte) || byte >= 174
      table[printable ? byte : next] = Int16(byte)
      if !printable { next += 1 }
    }
    bytes = table
  }

  /// The bytes that the UTF-8 text `characters` stands for, or nil if some character is none of the
  /// alphabet's.
  func decode(_ characters: some Sequence<UInt8>) -> [UInt8]? {
    var result: [UInt8] = []
    var lead: UInt8 = 0
    for unit in characters {
      var point = Int(unit)
      if lead != 0 {
        guard unit & 0xC0 == 0x80 else { return nil }
        point = Int(lead & 0x1F) << 6 | Int(unit & 0x3F)
        lead = 0
      } else if unit >= 0x80 {
        // The alphabet ends at U+0143, so two bytes a character suffice.
        guard (0xC2...0xC5).contains(unit) else { return nil }
        lead = unit
        continue
      }
      guard point < bytes.count, bytes[point] >= 0 else { return nil }
      result.append(UInt8(bytes[point]))
    }
    return lead == 0 ? result : nil
  }
}
