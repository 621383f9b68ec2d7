// `spectrum`: the singular values of a table, and how alike its rows are.

internal import EmbedKernel

/// Computes the singular values of a table in a file.
enum Spectrum: Subcommand {
  static let tensor = Option(
    "tensor", "NAME", "Which tensor of a .safetensors file (default wpe.weight).")
  static let output = Option(
    "output", "CSV",
    "Where the values go (default: standard output, or a summary there with --similarity).")
  static let similarity = Option(
    "similarity", "SVG", "Also a heat map of the cosine of each row with each.")

  static let name = "spectrum"
  static let summary = "The singular values of a table, and its rows' similarity."
  static let usage = ["FILE [--tensor NAME] [OPTIONS]"]
  static let about = [
    "Reads a table [rows, dim] of float32 from a .npy or .safetensors file and writes its singular "
      + "values, the largest first, by LAPACK in double precision.",
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
      try Report.deliver(text, to: arguments.string(output))
    }
    if let file = arguments.string(similarity) {
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
  ) throws -> EmbeddingTable {
    guard path.hasSuffix(".safetensors") else {
      guard !arguments.has(tensor) else {
        throw CommandError.usage("--tensor names a tensor of a .safetensors file, not of '\(path)'")
      }
      let array = try NumPyArray<Float>(contentsOf: path, rank: 2)
      return try naming(path) { () throws(EmbedError) in
        try EmbeddingTable(rows: array.shape[0], dim: array.shape[1], copying: array.span)
      }
    }
    let name = arguments.string(tensor) ?? "wpe.weight"
    let file = try Safetensors(contentsOf: path)
    let elements = try file.elements(of: name, as: Float.self)
    let shape = file.header.entry(name)?.shape ?? []
    guard shape.count == 2 else {
      throw CommandError.data("'\(path)': '\(name)' is \(shape), not [rows, dim]")
    }
    return try naming(path) { () throws(EmbedError) in
      try EmbeddingTable(rows: shape[0], dim: shape[1], copying: elements)
    }
  }

  /// The cosine of each row with each, `[rows, rows]`; 0 where a row is zero.
  private static func cosines(_ table: EmbeddingTable) throws -> [Float] {
    let (rows, dim) = (table.rows, table.dim)
    let limit = 4_096
    guard rows <= limit else {
      throw CommandError.data("a heat map of \(rows) rows is past the limit of \(limit)")
    }
    let span = table.span
    var products = [Double](repeating: 0, count: rows * rows)
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
