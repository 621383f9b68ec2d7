// Tables whose rows get another form: what they are called and typed in the output, and what that costs in
// bytes and in error.

internal import EmbedKernel
internal import EmbedRows

/// A table of the output in a format of rows, and the tensors that it is there.
struct RowTensors {
  /// The rows, and the scales beside them where the format has such.
  let tensors: [Tensor]
  /// What the metadata say of it, where the type does not.
  let metadata: [GGUFMetadata]

  /// How a table `[rows, dim]` called `name` is stored in a file of a format.
  init(
    _ name: String?, _ rows: RowFormat, shape: [Int], in format: ArrayFormat, _ path: String
  ) throws {
    let (count, dim) = (shape[0], shape[1])
    let (rowBytes, scaleBytes) = try naming(path) { () throws(EmbedError) in
      (try rows.rowBytes(dim: dim), try rows.scaleBytes(dim: dim))
    }
    func refused(_ reason: String) -> CommandError {
      .data("'\(path)': \(format.rawValue) files have no rows of \(rows.rawValue): \(reason)")
    }
    if format == .gguf {
      guard let type = rows.ggufType else {
        throw refused(
          "they have "
            + RowFormat.allCases.filter { $0.ggufType != nil }.map(\.rawValue).joined(
              separator: ", "))
      }
      let plain = SafetensorsType.ofGGUF.first { $0.gguf == type }?.type
      tensors = [
        Tensor(
          name: name, type: plain ?? .other(type.name), shape: shape,
          unknownByteCount: plain == nil ? count * rowBytes : nil)
      ]
      metadata = []
      return
    }
    guard format != .npy || scaleBytes == 0 else {
      throw refused("the scales are an array of their own; write .safetensors or .npz")
    }
    let byteType = format == .safetensors ? nil : SafetensorsType.uint8
    let table: Tensor
    var scales: Tensor?
    switch rows {
    case .float32: table = Tensor(name: name, type: .float32, shape: shape)
    case .float16: table = Tensor(name: name, type: .float16, shape: shape)
    case .bfloat16: table = Tensor(name: name, type: .bfloat16, shape: shape)
    case .int8, .int8Half:
      scales = Tensor(
        name: name.map { $0 + "_scale" }, type: rows == .int8 ? .float32 : .float16,
        shape: [count, 1])
      table = Tensor(name: name, type: .int8, shape: shape)
    case .fp8, .fp8Row, .fp8Block32, .fp8Block128, .fp8Block128Float:
      let isFloat = rows == .fp8Row || rows == .fp8Block128Float
      if scaleBytes > 0 {
        scales = Tensor(
          name: name.map { $0 + "_scale" }, type: isFloat ? .float32 : byteType ?? .float8e8m0,
          shape: [count, isFloat ? scaleBytes / 4 : scaleBytes])
      }
      table = Tensor(name: name, type: byteType ?? .float8e4m3, shape: shape)
    case .fbgemm8, .fbgemm4, .q8_0, .q4_0, .q4_K, .q6_K:
      table = Tensor(name: name, type: .uint8, shape: [count, rowBytes])
    }
    tensors = [table] + (scales.map { [$0] } ?? [])
    let isTold = table.type != .uint8 || format != .safetensors
    metadata = isTold ? [] : [GGUFMetadata(RowOptions.key(of: name ?? ""), .string(rows.rawValue))]
  }
}

/// What a table in another form weighs, and how far it is from the one it was made of.
struct RowError {
  private(set) var largest = 0.0
  private var squares = 0.0
  private var count = 0

  /// The root of the mean square.
  var rootMeanSquare: Double { count == 0 ? 0 : (squares / Double(count)).squareRoot() }

  /// Compares all elements, a block of rows at a time.
  init(_ table: RowTable, from floats: EmbeddingTable<Float>) throws(EmbedError) {
    let block = max(1, min(table.rows, (1 << 20) / table.dim))
    let decoded = try AlignedBuffer<Float>(count: elementCount("block", block, table.dim))
    let exact = floats.span
    for first in stride(from: 0, to: table.rows, by: block) {
      let range = first..<min(first + block, table.rows)
      let elements = range.count * table.dim
      var span = unsafe UnsafeMutableBufferPointer(rebasing: decoded.unsafeBuffer[..<elements])
      try unsafe table.decode(range, into: &span)
      for i in 0..<elements {
        let (value, original) = (unsafe span[i], exact[first * table.dim + i])
        // Infinities that are kept differ by no number.
        guard value != original else { continue }
        let error = Double(value) - Double(original)
        largest = max(largest, error.magnitude)
        squares += error * error
      }
      count += elements
    }
  }
}
