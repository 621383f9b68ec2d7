// Reads a matrix that a file holds column by column into memory row by row.
//
// Of the file's columns as many are read at a time as stay in a cache, so that a row's part is
// written at once and the memory beside the result is small.

extension NumPyHeader {
  /// The rows and columns of a transposed array: its two dimensions above 1.
  private var matrix: (rows: Int, columns: Int) {
    let wide = shape.filter { $0 > 1 }
    return (wide[0], wide[1])
  }

  /// Columns that are read at a time: some 4 MiB of them, and no fewer than fill a cache line.
  private var blockColumns: Int {
    let (rows, columns) = matrix
    return min(columns, max(64 / elementType.byteCount, (1 << 22) / (rows * elementType.byteCount)))
  }

  /// Fills `bytes` with a transposed array's elements row by row, from `file`.
  @unsafe func readTransposed(
    _ file: borrowing InputFile, into bytes: UnsafeMutableRawBufferPointer
  ) throws(NumPyError) {
    let (rows, columns) = matrix
    let columnBytes = rows * elementType.byteCount
    let block = try NumPyError.wrapping(
      try MappedMemory(byteCount: blockColumns * columnBytes, for: file.path))
    for first in stride(from: 0, to: columns, by: blockColumns) {
      let count = min(blockColumns, columns - first)
      let part = unsafe UnsafeMutableRawBufferPointer(
        rebasing: block.bytes[..<(count * columnBytes)])
      let start = first * columnBytes
      let read = try NumPyError.wrapping(
        try unsafe file.read(into: part, at: dataOffset + start))
      // The size was checked when the header was read, but the file may have shrunk since.
      guard read == part.count else {
        throw .dataSize(
          path: file.path, shape: shape, expected: dataByteCount, actual: start + read)
      }
      unsafe transpose(UnsafeRawBufferPointer(part), first: first, into: bytes)
    }
  }

  /// Fills `bytes` with a transposed array's elements row by row, from all of its columns.
  @unsafe func transpose(
    _ data: UnsafeRawBufferPointer, into bytes: UnsafeMutableRawBufferPointer
  ) {
    let columnBytes = matrix.rows * elementType.byteCount
    for first in stride(from: 0, to: matrix.columns, by: blockColumns) {
      let end = min(first + blockColumns, matrix.columns)
      let part = unsafe UnsafeRawBufferPointer(
        rebasing: data[(first * columnBytes)..<(end * columnBytes)])
      unsafe transpose(part, first: first, into: bytes)
    }
  }

  /// Puts whole columns, `first` and those after it, into their places in rows.
  @unsafe private func transpose(
    _ part: UnsafeRawBufferPointer, first: Int, into bytes: UnsafeMutableRawBufferPointer
  ) {
    switch elementType.byteCount {
    case 1: unsafe transpose(part, first: first, into: bytes, as: UInt8.self)
    case 2: unsafe transpose(part, first: first, into: bytes, as: UInt16.self)
    case 4: unsafe transpose(part, first: first, into: bytes, as: UInt32.self)
    default: unsafe transpose(part, first: first, into: bytes, as: UInt64.self)
    }
  }

  @unsafe private func transpose<Word: FixedWidthInteger & BitwiseCopyable>(
    _ part: UnsafeRawBufferPointer, first: Int, into bytes: UnsafeMutableRawBufferPointer,
    as word: Word.Type
  ) {
    let (rows, columns) = matrix
    let size = MemoryLayout<Word>.size
    let count = part.count / (rows * size)
    for row in 0..<rows {
      let target = (row * columns + first) * size
      for column in 0..<count {
        let element = unsafe part.loadUnaligned(
          fromByteOffset: (column * rows + row) * size, as: Word.self)
        unsafe bytes.storeBytes(of: element, toByteOffset: target + column * size, as: Word.self)
      }
    }
  }
}
