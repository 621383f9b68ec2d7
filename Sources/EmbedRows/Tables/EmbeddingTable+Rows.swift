// Tables of elements, seen as rows of a format.

package import CKernels
package import EmbedKernel

extension EmbeddingTable {
  /// The memory as the kernels on rows see it, valid for as long as the table lives. Rows that an
  /// optimiser left behind are as they are.
  package var view: ek_rows {
    let size = Element.elementType.byteCount
    return unsafe ek_rows(
      bytes: memory.baseAddress.unsafelyUnwrapped, row_bytes: dim * size,
      scales: memory.baseAddress.unsafelyUnwrapped, scale_bytes: 0, scale_shift: 0, dim: dim,
      format: RowFormat(Element.elementType).code)
  }
}
