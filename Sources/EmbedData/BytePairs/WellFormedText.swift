// Cuts bytes into stretches of well-formed UTF-8, which the text pattern may see, and runs of bytes
// that are none, which become pieces of their own. One scan, eight bytes at a time over ASCII.

/// The end of the stretch of well-formed UTF-8 that starts at `start`.
func wellFormedEnd(_ text: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int {
  let raw = unsafe UnsafeRawPointer(text)
  var position = start
  while position < count {
    while position + 8 <= count,
      unsafe raw.loadUnaligned(fromByteOffset: position, as: UInt64.self)
        & 0x8080_8080_8080_8080 == 0
    {
      position += 8
    }
    if position == count { return count }
    let length = unsafe characterLength(text, position, count)
    if length == 0 { return position }
    position += length
  }
  return count
}

/// The end of the run of bytes from `start` of which none begins a well-formed character.
func illFormedEnd(_ text: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int {
  var position = start
  while position < count, unsafe characterLength(text, position, count) == 0 { position += 1 }
  return position
}

/// The length of the character at `position`, or 0 if the bytes there are ill-formed by table 3-7
/// of the Unicode standard: overlong, a surrogate, over U+10FFFF, or cut short.
@inline(__always)
func characterLength(_ text: UnsafePointer<UInt8>, _ position: Int, _ count: Int) -> Int {
  let lead = unsafe text[position]
  if lead < 0x80 { return 1 }
  let length: Int
  var second: ClosedRange<UInt8> = 0x80...0xBF
  switch lead {
  case 0xC2...0xDF: length = 2
  case 0xE0: (length, second) = (3, 0xA0...0xBF)
  case 0xED: (length, second) = (3, 0x80...0x9F)
  case 0xE1...0xEF: length = 3
  case 0xF0: (length, second) = (4, 0x90...0xBF)
  case 0xF1...0xF3: length = 4
  case 0xF4: (length, second) = (4, 0x80...0x8F)
  default: return 0
  }
  guard count - position >= length, unsafe second.contains(text[position + 1]) else { return 0 }
  for i in 2..<4 where i < length {
    if unsafe text[position + i] & 0xC0 != 0x80 { return 0 }
  }
  return length
}
