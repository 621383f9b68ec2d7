// A checked call of a pass: ids and targets of the right number and inside the vocabulary, sizes that
// fit the workspace.

internal import EmbedKernel

@safe struct Batch {
  let ids: UnsafeBufferPointer<Int32>
  /// Nil where no loss is computed.
  private(set) var targets: UnsafeBufferPointer<Int32>?
  let batch: Int
  let context: Int

  var tokens: Int { batch * context }

  /// - Throws: `invalidSize` for sizes the workspace has no room for, `wrongElementCount`,
  ///   `tokenOutOfRange` for a target (ids are checked where they are embedded).
  init(
    _ ids: Span<Int32>, targets: Span<Int32>?, batch: Int, context: Int, _ workspace: GPTWorkspace,
    _ configuration: GPTConfiguration
  ) throws(EmbedError) {
    guard workspace.configuration == configuration else {
      throw .unsupported(
        argument: "workspace", value: "one of another configuration",
        expected: "a workspace made for this model")
    }
    try Self.check("batch", batch, most: workspace.batch)
    try Self.check("context", context, most: workspace.context)
    try Self.check("ids", ids.count, batch, context)
    unsafe self.ids = ids.withUnsafeBufferPointer { unsafe $0 }
    unsafe self.targets = nil
    if let targets {
      try Self.check("targets", targets.count, batch, context)
      for i in targets.indices
      where targets[i] < 0 || Int(targets[i]) >= configuration.vocabulary {
        throw .tokenOutOfRange(
          id: Int64(targets[i]), batchRow: i / context, position: i % context,
          vocabulary: configuration.vocabulary)
      }
      unsafe self.targets = targets.withUnsafeBufferPointer { unsafe $0 }
    }
    self.batch = batch
    self.context = context
  }

  private static func check(_ name: String, _ value: Int, most: Int) throws(EmbedError) {
    guard value >= 1, value <= most else {
      throw .invalidSize(
        argument: name, value: value, expected: "1...\(most), as the workspace has")
    }
  }

  private static func check(
    _ name: String, _ count: Int, _ batch: Int, _ context: Int
  ) throws(EmbedError) {
    guard count == batch * context else {
      throw .wrongElementCount(
        argument: name, expected: batch * context, shape: [batch, context], actual: count)
    }
  }
}
