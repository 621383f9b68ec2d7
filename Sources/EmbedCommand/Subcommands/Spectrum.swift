// `spectrum`: the singular values of a table, and how alike its rows are.

internal import EmbedFactorizations
internal import EmbedKernel
internal import EmbedModels

/// Computes the singular values of a table in a file.
enum Spectrum: Subcommand {
  static let tensor = Option(
    "tensor", .text("NAME"), "Which tensor of a .safetensors or array of a .npz file",
    otherwise: "a model's positions")
  static let output = Option(
    "output", .text("CSV"), "Where the values go",
    otherwise: "standard output, or a summary there with --similarity")
  static let similarity = Option(
    "similarity", .text("SVG"), "Also a heat map of the cosine of each row with each")

  static let name = "spectrum"
  static let summary = "The singular values of a table, and its rows' similarity."
  static let usage = ["FILE [--tensor NAME] [OPTIONS]"]
  static let about = [
    "Reads a table [rows, dim] of floats from a .npy, .npz or .safetensors file, the index of a "
      + "sharded model or its folder, and writes its singular values, the largest first, by LAPACK in "
      + "double precision.",
    "A drawn table has a flat spectrum and rows that are unlike each other; what training finds in "
      + "positions shows as a few large values, and as neighbours that are alike.",
  ]
  static let operandNames = ["FILE"]
  static let groups = [
    OptionGroup("Input", [tensor]), OptionGroup("Output", [output, similarity]),
  ]

  static func run(_ arguments: Arguments) throws {
    let path = arguments.operands[0]
    let table = try table(path, arguments)
    let values = try naming(path) { () throws(EmbedError) in try table.singularValues() }
    var text = "index,value\n"
    for (index, value) in values.enumerated() { text += "\(index),\(value)\n" }
    if arguments.has(output) || !arguments.has(similarity) {
      try Report.deliver(text, to: arguments[output])
    }
    if let file = try arguments[similarity] {
      let map = HeatMap(
        title: "Similarity of rows", subtitle: "\(table.rows) rows of \(table.dim) floats",
        rowLabel: "row", columnLabel: "row", valueLabel: "cosine", rows: table.rows,
        columns: table.rows, firstRow: 0, firstColumn: 0, values: try cosines(table))
      try TextFile.write(map.svg, to: file)
      guard !arguments.has(output) else { return }
      Report.standardOutput.line(
        "\(values.count) singular values of [\(table.rows), \(table.dim)], from "
          + "\(rounded(values.first)) down to \(rounded(values.last)) (--output writes them all); "
          + "'\(file)' shows how alike the rows are")
    }
  }

  private static func rounded(_ value: Double?) -> String {
    value.map { fixed($0, 3) } ?? "none"
  }

  private static func table(
    _ path: String, _ arguments: Arguments
  ) throws -> EmbeddingTable<Float> {
    let name = try arguments[tensor]
    if path.hasSuffix(".safetensors") || path.hasSuffix(".json") || Folders.isFolder(path) {
      let model = try SafetensorsModel(contentsOf: path)
      return try model.table(try name ?? positions(of: model))
    }
    if path.hasSuffix(".npz"), let name {
      return try TableFile.read("\(path):\(name)").floats()
    }
    guard name == nil else {
      throw CommandError.usage(
        "--tensor names a tensor of a .safetensors file or an array of a .npz file, not of '\(path)'"
      )
    }
    return try TableFile.read(path).floats()
  }

  /// The position table of a model, by whatever name; an error that says which tensors can be named
  /// where there is none.
  private static func positions(of model: SafetensorsModel) throws -> String {
    let parts = try? EmbeddingNames(ofModelAt: model.path)
    if let name = parts?.positions.first { return name }
    if model.names.contains("wpe.weight") { return "wpe.weight" }
    // Tables first: what is like one by name, then the rest.
    let tables = model.names.filter { $0.hasSuffix(".weight") && $0.contains("embed") }
    // Each look opens a file: of a large model the first names will do.
    let named = (parts?.tokens ?? []) + tables.prefix(40) + model.names.prefix(40)
    var shown: [String] = []
    for name in named where !shown.contains(name) && shown.count < 6 {
      let entry = try model.entry(name)
      if entry.shape.count == 2, [.float32, .float16, .bfloat16].contains(entry.type) {
        shown.append(name)
      }
    }
    let list = shown.map { "'\($0)'" }.joined(separator: ", ")
    throw CommandError.data(
      "'\(model.path)' has no table of learned positions; name another tensor [rows, dim] by --tensor"
        + (list.isEmpty ? "" : ", such as \(list)"))
  }

  /// The cosine of each row with each, `[rows, rows]`; 0 where a row is zero.
  private static func cosines(_ table: EmbeddingTable<Float>) throws -> [Float] {
    let (rows, dim) = (table.rows, table.dim)
    let limit = 4_096
    guard rows <= limit else {
      throw CommandError.data("a heat map of \(rows) rows is past the limit of \(limit)")
    }
    let span = table.span
    var products = try SystemMemory.array(0.0, count: rows * rows)
    for a in 0..<rows {
      for b in 0...a {
        let product = (0..<dim).reduce(0.0) {
          $0 + Double(span[a * dim + $1]) * Double(span[b * dim + $1])
        }
        products[a * rows + b] = product
        products[b * rows + a] = product
      }
    }
    let lengths = (0..<rows).map { products[$0 * rows + $0].squareRoot() }
    return products.indices.map { i in
      let length = lengths[i / rows] * lengths[i % rows]
      return length > 0 ? Float(products[i] / length) : 0
    }
  }
}
