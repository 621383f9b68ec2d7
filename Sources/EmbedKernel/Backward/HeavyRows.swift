// The rows of a batch with more tokens than one run: their gradients are summed run by run, left to
// right, and the runs then as a tree, so that threads can share in a row and the bits don't tell.
//
// N tokens, D dim. A row's number for each 65 tokens, and D*4 bytes a sum.

/// Rows that occur often, and room for sums of their gradients. It grows to what the largest batch needs.
struct HeavyRows: ~Copyable {
  /// Where they are, and where their sums go.
  @safe struct View {
    let count: Int
    /// The groups, rising.
    let groups: UnsafePointer<Int32>
    /// For each, the first of its runs among all; then the number of all runs.
    let firstRuns: UnsafePointer<Int32>
    let sums: UnsafeMutablePointer<Float>
    let corrections: UnsafeMutablePointer<Float>
  }

  private(set) var count = 0
  private var groups: AlignedBuffer<Int32>
  private var firstRuns: AlignedBuffer<Int32>
  private var sums: AlignedBuffer<Float>
  private var corrections: AlignedBuffer<Float>

  init() throws(EmbedError) {
    let groups = try AlignedBuffer<Int32>(count: 0)
    let firstRuns = try AlignedBuffer<Int32>(count: 1)
    let sums = try AlignedBuffer<Float>(count: 0)
    let corrections = try AlignedBuffer<Float>(count: 0)
    self.groups = groups
    self.firstRuns = firstRuns
    self.sums = sums
    self.corrections = corrections
  }

  var memoryBytes: Int { 4 * (groups.count + firstRuns.count + sums.count + corrections.count) }

  /// Finds the rows, with room for a sum of `dim` floats for each.
  mutating func find(in view: RowGroupView, dim: Int) throws(EmbedError) {
    _ = try list(view)
    try reserve(sums: count, dim)
  }

  /// Finds the rows, with room for a sum for each of their runs, and for its correction if it is
  /// `compensated`.
  mutating func findRuns(
    in view: RowGroupView, dim: Int, compensated: Bool
  ) throws(EmbedError) {
    let runs = try list(view)
    try reserve(sums: runs, dim)
    if compensated, corrections.count < sums.count {
      corrections = try AlignedBuffer(count: sums.count)
    }
  }

  /// Lists the rows; the number of their runs.
  private mutating func list(_ view: RowGroupView) throws(EmbedError) -> Int {
    count = 0
    let most = view.tokenCount / (rowsOfRun + 1)
    if groups.count < most {
      let room = max(most, groups.count + groups.count / 2)
      groups = try AlignedBuffer(count: room)
      firstRuns = try AlignedBuffer(count: room + 1)
    }
    var runs = 0
    if most > 0 {
      view.forEach { group, start, end in
        guard end &- start > rowsOfRun else { return }
        unsafe groups.base[count] = Int32(truncatingIfNeeded: group)
        unsafe firstRuns.base[count] = Int32(truncatingIfNeeded: runs)
        runs += (end - start + rowsOfRun - 1) / rowsOfRun
        count += 1
      }
    }
    unsafe firstRuns.base[count] = Int32(truncatingIfNeeded: runs)
    return runs
  }

  private mutating func reserve(sums needed: Int, _ dim: Int) throws(EmbedError) {
    let floats = try elementCount("sums of heavy rows", needed, dim)
    if sums.count < floats { sums = try AlignedBuffer(count: floats) }
  }

  var view: View {
    unsafe View(
      count: count, groups: groups.base, firstRuns: firstRuns.base, sums: sums.base,
      corrections: corrections.base)
  }
}

/// A row's occurrences are summed in runs of this many.
let rowsOfRun = 64
