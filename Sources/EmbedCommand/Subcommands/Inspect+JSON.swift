// What `inspect --json` writes: one object, for programs.
//
//     {"file": TEXT, "format": TEXT, "bytes": N,
//      "tensors": [{"name": TEXT or null, "type": TEXT, "shape": [N...], "bytes": N}...],
//      "metadata": [{"key": TEXT, "type": TEXT, "value": VALUE}...]}
//
// Everything is there in full and in the file's order. An array's type is that of what it has, with [];
// numbers that JSON has not are the texts "NaN", "Infinity" and "-Infinity".

internal import EmbedKernel

extension Inspect {
  /// A file as that object, on one line.
  ///
  /// - Parameter bytes: Of each tensor; `total` is theirs together.
  static func json(_ file: TensorFile, bytes: [Int], total: Int) -> String {
    let tensors = zip(file.tensors, bytes).map { tensor, count in
      let shape = tensor.shape.map { "\($0)" }.joined(separator: ", ")
      return #"{"name": \#(tensor.name?.json ?? "null"), "type": \#(type(tensor, file).json), "#
        + #""shape": [\#(shape)], "bytes": \#(count)}"#
    }
    let metadata = file.metadata.map {
      #"{"key": \#($0.key.json), "type": \#($0.value.jsonType.json), "value": \#($0.value.json)}"#
    }
    return #"{"file": \#(file.path.json), "format": \#(file.format.json), "bytes": \#(total), "#
      + #""tensors": [\#(tensors.joined(separator: ", "))], "#
      + #""metadata": [\#(metadata.joined(separator: ", "))]}"# + "\n"
  }

  /// A tensor's type by the file's own name.
  static func type(_ tensor: Tensor, _ file: TensorFile) -> String {
    let type = file.hasNumPyTypes ? tensor.type.numPyType.map { "\($0)" } : nil
    return type ?? tensor.type.rawValue
  }
}

extension GGUFValue {
  fileprivate var jsonType: String {
    guard case .array(let array) = self else { return "\(type)" }
    return "\(array.type)[]"
  }

  fileprivate var json: String {
    switch self {
    case .array(let array): "[" + array.values().map(\.json).joined(separator: ", ") + "]"
    case .string(let text): text.json
    case .float32(let value) where !value.isFinite: Self.notFinite(Double(value))
    case .float64(let value) where !value.isFinite: Self.notFinite(value)
    default: text ?? "null"
    }
  }

  private static func notFinite(_ value: Double) -> String {
    value.isNaN ? #""NaN""# : value > 0 ? #""Infinity""# : #""-Infinity""#
  }
}
