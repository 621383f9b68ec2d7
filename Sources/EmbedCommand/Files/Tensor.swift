// What is known of an array without its elements, whatever the file's format.

internal import EmbedKernel

/// An array of a file.
struct Tensor: Equatable {
  /// Nil for the array of a `.npy` file.
  var name: String?
  var type: SafetensorsType
  var shape: [Int]
  /// The bytes of a tensor whose type does not tell them.
  var unknownByteCount: Int?

  /// Elements in all; headers are refused whose shapes have more than can be counted.
  var count: Int { shape.contains(0) ? 0 : shape.reduce(1, *) }

  /// The bytes of all elements.
  var byteCount: Int { unknownByteCount ?? type.byteCount(of: count) ?? 0 }
}

extension Tensor {
  /// What a safetensors header says of it.
  init(_ entry: SafetensorsEntry) {
    self.init(
      name: entry.name, type: entry.type, shape: entry.shape,
      unknownByteCount: entry.type.bitCount == nil ? entry.byteCount : nil)
  }

  /// What a GGUF header says of it; blocks are of a type that has no name in other files.
  init(_ entry: GGUFEntry) {
    let type =
      SafetensorsType.ofGGUF.first { $0.gguf == entry.type }?.type ?? .other(entry.type.name)
    self.init(
      name: entry.name, type: type, shape: entry.shape,
      unknownByteCount: type.bitCount == nil ? entry.byteCount : nil)
  }

  init(_ name: String?, _ header: NumPyHeader) {
    self.init(name: name, type: SafetensorsType(header.elementType), shape: header.shape)
  }
}

extension SafetensorsType {
  /// The types of single elements that GGUF files have too.
  static let ofGGUF: [(type: SafetensorsType, gguf: GGUFType)] = [
    (.float32, .float32), (.float16, .float16), (.bfloat16, .bfloat16), (.float64, .float64),
    (.int8, .int8), (.int16, .int16), (.int32, .int32), (.int64, .int64),
  ]
}

/// The formats of arrays.
enum ArrayFormat: String, CaseIterable {
  case safetensors = ".safetensors"
  case gguf = ".gguf"
  case npz = ".npz"
  case npy = ".npy"
}
