// `inspect`: what is in a file of arrays, by its header alone.

internal import EmbedKernel

/// Lists a file's tensors and what it says of itself.
enum Inspect: Subcommand {
  static let name = "inspect"
  static let summary = "A file's tensors, their types, shapes and bytes, and its metadata."
  static let usage = ["FILE [--json]"]
  static let about = [
    "FILE is .safetensors, .gguf, .npz or .npy, one array of the first three as FILE:NAME, or a sharded "
      + "model's index or folder. Headers are read and checked, so a file that is cut short, or whose "
      + "tensors overlap, is an error; the elements are not read.",
    "Types are by the file's own names, shapes with the outermost dimension first. Of an array among the "
      + "metadata, the first values are shown.",
    "With --json: an object of file, format, bytes (of all tensors), tensors (name, type, shape, bytes) and "
      + "metadata (key, type, value), in full and in the file's order.",
  ]
  static let operandNames = ["FILE"]
  static let groups = [OptionGroup("Output", [isJSON])]

  private static let isJSON = Option(switch: "json", "Write one JSON object instead of tables")

  /// The longest value of the metadata that is shown, in characters.
  private static let longest = 100

  static func run(_ arguments: Arguments) throws {
    let file = try TensorFile(arguments.operands[0])
    let report = Report.standardOutput
    let bytes = file.tensors.map(\.byteCount)
    var total = 0
    for count in bytes {
      // Shards may each have as much as can be counted.
      let (sum, overflow) = total.addingReportingOverflow(count)
      total = overflow ? .max : sum
    }
    if try arguments[isJSON] {
      report.write(json(file, bytes: bytes, total: total))
      return
    }
    report.table(
      Table(facts: [
        "file": "'\(file.path)', \(file.format)",
        "tensors": "\(file.tensors.count), \(total) bytes"
          + (total < 1000 ? "" : " (\(formatted(bytes: total)))"),
      ]))

    if !file.tensors.isEmpty {
      report.line()
      report.line("Tensors")
      var tensors = Table(.left, .left, .left, .right)
      tensors.add("name", "type", "shape", "bytes")
      for (tensor, count) in zip(file.tensors, bytes) {
        tensors.add(
          tensor.name.map(oneLine) ?? "(no name)", oneLine(type(tensor, file)), "\(tensor.shape)",
          "\(count)")
      }
      report.table(tensors)
    }
    guard !file.metadata.isEmpty else { return }
    report.line()
    report.line("Metadata")
    var facts = Table(.left, .left, .left)
    for fact in file.metadata {
      facts.add(oneLine(fact.key), fact.value.typeName, fact.value.shown(longest))
    }
    report.table(facts)
  }

  /// A name without what would move the cursor.
  private static func oneLine(_ name: String) -> String {
    String(quoted(name).dropFirst().dropLast())
  }
}

extension GGUFValue {
  /// The type's name; an array's with how many of what it has.
  fileprivate var typeName: String {
    guard case .array(let array) = self else { return "\(type)" }
    return "\(array.type)[\(array.count)]"
  }

  /// The value, cut where it is long.
  fileprivate func shown(_ limit: Int) -> String {
    if case .array(let array) = self { return shown(array, limit) }
    guard case .string(let text) = self else { return text ?? "" }
    guard text.unicodeScalars.count > limit else { return quoted(text) }
    return quoted(String(String.UnicodeScalarView(text.unicodeScalars.prefix(limit)))) + "..."
  }

  private func shown(_ array: GGUFArray, _ limit: Int) -> String {
    var text = "["
    // What has no room is not made: a value takes some characters.
    let values = array.values(8)
    for (i, value) in values.enumerated() {
      let next = (i == 0 ? "" : ", ") + value.shown(limit)
      guard text.count + next.count <= limit else { return text + (i == 0 ? "..." : ", ...") + "]" }
      text += next
    }
    return text + (values.count < array.count ? ", ..." : "") + "]"
  }
}
