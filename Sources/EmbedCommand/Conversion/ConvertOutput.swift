// What `convert` makes: each tensor's bytes as they are, its elements resized or in another type, or its
// rows in another form, of which the size and the error are told.

internal import EmbedKernel
internal import EmbedRows

/// The tensors of the output, and where each comes from.
struct ConvertOutput {
  private let source: TensorFile
  private let target: ConvertTarget
  private let entries: [Entry]

  /// What becomes of a tensor of the source.
  private struct Entry {
    var target: TargetTensor
    /// Its rows, where they get another form.
    var rows: RowTensors?
    /// Whether it is no more: the scales of rows that get another form.
    var isLeftOut = false
    /// The first of its tensors in the output.
    var first = 0

    var tensors: [Tensor] { isLeftOut ? [] : rows?.tensors ?? [target.tensor] }
  }

  init(_ plan: ConvertPlan, _ source: TensorFile, _ target: ConvertTarget) throws {
    self.source = source
    self.target = target
    var entries = plan.tensors.map { Entry(target: $0) }
    for (index, tensor) in plan.tensors.enumerated() {
      guard let format = tensor.rows else { continue }
      let file = try source.single(index)
      // Bytes have another shape than the rows that they are.
      let shape =
        file.tensors[0].type == .uint8
        ? try RowTable.read(file).map { [$0.rows, $0.dim] } ?? [] : tensor.tensor.shape
      entries[index].rows = try RowTensors(
        tensor.tensor.name, format, shape: shape, in: target.format, target.path)
      for name in RowScales.names(beside: file) {
        if let scales = source.index(of: [name]) { entries[scales].isLeftOut = true }
      }
    }
    var count = 0
    for index in entries.indices {
      entries[index].first = count
      count += entries[index].tensors.count
    }
    self.entries = entries
  }

  /// The metadata of the source, with what is said of the rows' forms.
  private var metadata: [GGUFMetadata] {
    var all = source.metadata.filter { !$0.key.hasPrefix(RowOptions.key(of: "")) }
    for (entry, old) in zip(entries, source.tensors) where !entry.isLeftOut {
      if let rows = entry.rows {
        all += rows.metadata
      } else if let said = source.value(of: RowOptions.key(of: old.name ?? "")),
        let name = entry.target.tensor.name
      {
        all.append(GGUFMetadata(RowOptions.key(of: name), said))
      }
    }
    return all
  }

  /// Writes the file, whole or not at all.
  func write() throws {
    try target.write(entries.flatMap(\.tensors), metadata, of: source) { write in
      // What is read here has the order of the output, which some formats need.
      for (index, entry) in entries.enumerated() where !entry.isLeftOut {
        if let rows = entry.rows, let format = entry.target.rows {
          try self.write(rows, format, of: source.single(index)) { try write(entry.first + $0, $1) }
          continue
        }
        try source.withBytes(of: index) { bytes in
          try converted(bytes, source.tensors[index], entry.target) { try write(entry.first, $0) }
        }
      }
    }
  }

  private func write(
    _ rows: RowTensors, _ format: RowFormat, of file: TensorFile,
    _ write: (Int, RawSpan) throws -> Void
  ) throws {
    let source = try TableFile.table(file)
    let floats = try source.floats()
    let (table, error) = try naming(file.path) { () throws(EmbedError) in
      let table = try RowTable(quantizing: floats, as: format)
      return (table, try RowError(table, from: floats))
    }
    try write(0, unsafe table.rowBytes.bytes)
    if rows.tensors.count > 1 { try write(1, unsafe table.scaleBytes.bytes) }
    let share = Double(table.byteCount) / Double(max(1, source.byteCount))
    Report.standardError.line(
      "convert: \(quoted(rows.tensors[0].name ?? file.path)) [\(table.rows), \(table.dim)]: "
        + "\(source.typeName), \(source.byteCount) bytes, to \(format.rawValue), \(table.byteCount) bytes "
        + "(\(fixed(share, 4)) of them); error max \(Float(error.largest)), "
        + "rms \(Float(error.rootMeanSquare))")
  }
}
