// What calls read rows from, whatever the table: an `EmbeddingTable` of any element type or a `RowTable`.

package import CKernels
package import EmbedKernel

/// A table's rows as the kernels see them, valid for as long as the table lives.
@safe package struct TableRows {
  /// Where they are and how they are stored.
  package let view: ek_rows
  /// The number of rows.
  package let count: Int
  /// The number of columns of a row.
  package let dim: Int
  /// The bytes of a row, with its scales.
  package let bytesOfRow: Int
  /// The file that they are in; nil where they are in none.
  package let pages: TablePages?
  /// What a call must not write to.
  package let memory: Memory
  package let scaleMemory: Memory

  /// Whether `written` shares memory with the table.
  package func overlaps(_ written: Memory) -> Bool {
    written.overlaps(memory) || written.overlaps(scaleMemory)
  }

  /// Elements side by side, of which there is one at least.
  package init(_ elements: Elements, rows: Int, dim: Int) {
    let bytes = dim * elements.type.byteCount
    unsafe view = ek_rows(
      bytes: elements.base.unsafelyUnwrapped, row_bytes: bytes,
      scales: elements.base.unsafelyUnwrapped, scale_bytes: 0, scale_shift: 0, dim: dim,
      format: RowFormat(elements.type).code)
    count = rows
    self.dim = dim
    bytesOfRow = bytes
    pages = nil
    memory = elements.memory
    scaleMemory = unsafe Memory(nil, 0)
  }

  /// The rows as they are, those that are behind included.
  package init<Element: TableElement>(_ table: EmbeddingTable<Element>) {
    self.init(table.elements, rows: table.rows, dim: table.dim)
  }

  package init(_ table: RowTable) {
    view = table.view
    count = table.rows
    dim = table.dim
    bytesOfRow = table.view.row_bytes + table.view.scale_bytes
    pages = table.pages
    memory = unsafe table.rowBytes.withUnsafeBufferPointer {
      unsafe Memory($0.baseAddress, $0.count)
    }
    scaleMemory = unsafe table.scaleBytes.withUnsafeBufferPointer {
      unsafe Memory($0.baseAddress, $0.count)
    }
  }
}

extension ElementType {
  /// The type as the kernels name it.
  var kernelElement: ek_element {
    switch self {
    case .float32: EK_F32
    case .float16: EK_F16
    case .bfloat16: EK_BF16
    }
  }
}
