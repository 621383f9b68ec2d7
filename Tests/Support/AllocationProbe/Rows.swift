// What calls on rows of quantised formats allocate once they are warm.

import EmbedKernel
import EmbedRows

extension AllocationProbe {
  static func probeRows() throws {
    for format in [RowFormat.int8, .fbgemm4, .q8_0, .q6_K] {
      for (name, place, batch, context, dim) in places {
        let dim = max(dim, 256)
        let elements = [Float](repeating: 0.5, count: 500 * dim)
        let layer = try RowEmbedding(
          tokens: RowTable(quantizing: elements, rows: 500, dim: dim, as: format),
          positions: EmbeddingTable(rows: 128, dim: dim))
        let ids = (0..<batch * context).map { Int32($0 % 500) }
        var output = try layer.makeOutput(batch: batch, context: context)
        var narrow = try layer.makeOutput(BFloat16.self, batch: batch, context: context)
        try count("rows \(format.rawValue) \(name)") { kernels, _ in
          try layer.forward(
            ids, batch: batch, context: context, at: place, into: &output, using: kernels)
          try layer.forward(
            ids, batch: batch, context: context, at: place, into: &narrow, using: kernels)
        }
      }
    }
  }
}
