// The strings by which a `.npy` header may name an element type: those that `numpy.dtype` takes for
// the types that this library reads. Writers other than NumPy spell them in many ways.
//
//     [order] code      order: `<` little-endian, `>` big-endian, `=` and none the reader's, `|` none
//
// Source: NumPy's "Data type objects", "Specifying and constructing data types"; C's types have the
// sizes of 64-bit Linux and macOS.

/// A `descr` that is understood.
struct NumPyDescriptor: Equatable {
  let elementType: NumPyElementType
  /// Whether the most significant byte of an element comes first.
  let isBigEndian: Bool

  /// The type that `text` names, or nil where it names none of those known here.
  init?(_ text: String) {
    let order = text.first.flatMap { "<>=|".contains($0) ? $0 : nil }
    let code = order == nil ? Substring(text) : text.dropFirst()
    // A name, unlike a code, takes no sign of order.
    guard let type = Self.codes[code] ?? (order == nil ? Self.names[code] : nil) else { return nil }
    elementType = type
    // One byte has no order. Of two bytes without a meaning NumPy ignores the order, but no bfloat16
    // is known to be written so.
    isBigEndian = order == ">" && type.byteCount > 1
  }

  /// A kind with its bytes, and the characters of C's types.
  private static let codes: [Substring: NumPyElementType] = [
    "f4": .float32, "f": .float32,
    "f8": .float64, "d": .float64,
    "f2": .float16, "e": .float16,
    "V2": .bfloat16,
    "i1": .int8, "b": .int8,
    "i2": .int16, "h": .int16,
    "i4": .int32, "i": .int32,
    "i8": .int64, "q": .int64, "l": .int64, "p": .int64, "n": .int64,
    "u1": .uint8, "B": .uint8,
    "u2": .uint16, "H": .uint16,
    "u4": .uint32, "I": .uint32,
    "u8": .uint64, "Q": .uint64, "L": .uint64, "P": .uint64, "N": .uint64,
    "b1": .bool, "?": .bool,
  ]

  private static let names: [Substring: NumPyElementType] = [
    "float32": .float32, "single": .float32,
    "float64": .float64, "double": .float64, "float": .float64,
    "float16": .float16, "half": .float16,
    "bfloat16": .bfloat16,
    "int8": .int8, "byte": .int8,
    "int16": .int16, "short": .int16,
    "int32": .int32, "intc": .int32,
    "int64": .int64, "int": .int64, "int_": .int64, "intp": .int64, "long": .int64,
    "longlong": .int64,
    "uint8": .uint8, "ubyte": .uint8,
    "uint16": .uint16, "ushort": .uint16,
    "uint32": .uint32, "uintc": .uint32,
    "uint64": .uint64, "uint": .uint64, "uintp": .uint64, "ulong": .uint64, "ulonglong": .uint64,
    "bool": .bool, "bool_": .bool,
  ]
}
