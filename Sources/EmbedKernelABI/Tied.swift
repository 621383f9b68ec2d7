// The output head that shares the token table, on the caller's memory.
//
// N rows, V vocabulary, D dim.

internal import CEmbedKernel
internal import EmbedKernel

/// A head over the caller's table, for the length of a call.
private func projection(
  _ table: UnsafePointer<Float>?, _ vocabulary: Int64, _ dim: Int64, _ scale: Float
) throws -> TiedProjection {
  let (rows, dim) = (Int(vocabulary), Int(dim))
  let memory = try unsafe readable(table, product("table", rows, dim), "table")
  let borrowed = try unsafe EmbeddingTable<Float>(
    rows: rows, dim: dim, borrowing: UnsafeMutableBufferPointer(mutating: memory),
    of: BorrowedMemory())
  return try TiedProjection(TokenEmbedding(table: borrowed), scale: scale)
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_tied_logits(
  _ hidden: UnsafePointer<Float>?, _ rows: Int64, _ table: UnsafePointer<Float>?,
  _ vocabulary: Int64, _ dim: Int64, _ scale: Float, _ logits: UnsafeMutablePointer<Float>?
) -> Int32 {
  attempt {
    let head = try unsafe projection(table, vocabulary, dim, scale)
    let rows = Int(rows)
    try unsafe head.logits(
      readable(hidden, product("hidden", rows, Int(dim)), "hidden"), rows: rows,
      into: writable(logits, product("logits", rows, Int(vocabulary)), "logits"))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_tied_backward(
  _ logitGradient: UnsafePointer<Float>?, _ hidden: UnsafePointer<Float>?, _ rows: Int64,
  _ table: UnsafePointer<Float>?, _ vocabulary: Int64, _ dim: Int64, _ scale: Float,
  _ hiddenGradient: UnsafeMutablePointer<Float>?, _ tableGradient: UnsafeMutablePointer<Float>?
) -> Int32 {
  attempt {
    let head = try unsafe projection(table, vocabulary, dim, scale)
    let (rows, dim, vocabulary) = (Int(rows), Int(dim), Int(vocabulary))
    let size = try product("table gradient", vocabulary, dim)
    var gradient = try unsafe TableGradient(
      rows: vocabulary, dim: dim, borrowing: writable(tableGradient, size, "table_gradient"),
      of: BorrowedMemory())
    let written = unsafe Stretch(UnsafeRawPointer(tableGradient), size * 4)
    let read = unsafe [
      ("table", Stretch(UnsafeRawPointer(table), size * 4)),
      ("hidden", Stretch(UnsafeRawPointer(hidden), try product("hidden", rows, dim) * 4)),
      (
        "logit gradient",
        Stretch(UnsafeRawPointer(logitGradient), try product("logits", rows, vocabulary) * 4)
      ),
    ]
    for (name, part) in read where part.overlaps(written) {
      throw EmbedError.overlappingMemory(argument: name)
    }
    try unsafe head.backward(
      readable(logitGradient, product("logits", rows, vocabulary), "logit_gradient"),
      hidden: readable(hidden, product("hidden", rows, dim), "hidden"), rows: rows,
      hiddenGradient: writable(hiddenGradient, product("hidden", rows, dim), "hidden_gradient"),
      tableGradient: &gradient)
  }
}
