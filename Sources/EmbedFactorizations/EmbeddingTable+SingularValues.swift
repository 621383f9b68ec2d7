// The spectrum of a table: how many directions its rows really use, by LAPACK's divide-and-conquer
// singular values. A trained position table shows a few large values where a drawn one has a flat
// spectrum.

internal import CBLASCalls
public import EmbedKernel

extension EmbeddingTable<Float> {
  /// The singular values, falling, `min(rows, dim)` of them; computed in Double by `dgesdd`.
  ///
  /// On one thread, so that the bits depend on no number of threads. Each is within a small multiple of 2^-53 times the largest of that of the table as it stands.
  /// Allocates the table in Double, and LAPACK's work.
  ///
  /// - Throws: `invalidValue` for an element that is not finite, `invalidSize` for sizes past
  ///   LAPACK's 32-bit integers, `factorisationFailed` where the iteration does not converge or LAPACK finds
  ///   no memory, `outOfMemory`.
  /// - Complexity: O(R·D·min(R, D)).
  public func singularValues() throws(EmbedError) -> [Double] {
    for (name, size) in [("rows", rows), ("dim", dim)] where size > Int(Int32.max) {
      throw .invalidSize(argument: name, value: size, expected: "at most \(Int32.max)")
    }
    let copy = try AlignedBuffer<Double>(count: elementCount("table", rows, dim))
    let values = span
    for i in values.indices {
      guard values[i].isFinite else {
        throw .invalidValue(
          argument: "element [\(i / dim), \(i % dim)]", value: Double(values[i]),
          expected: "a finite number")
      }
      unsafe copy.base[i] = Double(values[i])
    }
    // Row after row is, column after column, the transpose, which has the same singular values.
    var found = [Double](repeating: 0, count: min(rows, dim))
    let (height, width) = (Int32(dim), Int32(rows))
    let info = try OneThreadedBLAS.run { () throws(EmbedError) in
      unsafe ek_lapack_dgesdd_values(height, width, copy.base, height, &found)
    }
    guard info == 0 else { throw .factorisationFailed(routine: "dgesdd", info: Int(info)) }
    return found
  }
}
