// The backward of a maximum, made one of sums: each id that wins columns of its bag gets a row with the
// output gradient there and zeros elsewhere, which then goes to its table row as any other.
//
// B bags, N ids, D dim; W ids that win. Bytes: the winners and the output gradient read, W*D*4 written.

internal import CKernels
internal import EmbedKernel

/// Whose columns of an output are.
@safe struct Winners: ParallelWork {
  let bags: CheckedBags
  /// Of the output (B, D).
  let gradient: UnsafePointer<Float>
  /// The index of the id that each column is of, or -1 (B, D).
  let winners: UnsafePointer<Int32>
  /// Of each id, its row among those that win; -1: it wins nothing.
  let sources: UnsafeMutablePointer<Int32>
  private var won: UnsafeMutablePointer<Float>?

  init(
    bags: CheckedBags, gradient: UnsafePointer<Float>, winners: UnsafePointer<Int32>,
    sources: UnsafeMutablePointer<Int32>
  ) {
    self.bags = bags
    unsafe self.gradient = gradient
    unsafe self.winners = winners
    unsafe self.sources = sources
    unsafe won = nil
  }

  /// Checks that each winner is an id of its bag, or none.
  static func check(_ bags: CheckedBags, _ winners: UnsafeBufferPointer<Int32>) throws(EmbedError) {
    try bags.check("winners", count: winners.count)
    var wrong: (bag: Int, column: Int)?
    bags.bags.forEach(to: bags.bags.count) { bag, ids in
      for column in 0..<bags.dim where wrong == nil {
        let id = unsafe Int(winners[bag * bags.dim + column])
        if id != -1, !ids.contains(id) { wrong = (bag, column) }
      }
    }
    guard let (bag, column) = wrong else { return }
    throw .invalidSize(
      argument: "winner of column \(column) of bag \(bag)",
      value: unsafe Int(winners[bag * bags.dim + column]),
      expected: "the index of an id of the bag, or -1")
  }

  /// Numbers the ids that win; how many there are.
  func number() -> Int {
    let n = bags.input.ids.count
    unsafe sources.update(repeating: -1, count: n)
    for i in 0..<bags.outputCount {
      let id = unsafe Int(winners[i])
      if id >= 0 { unsafe sources[id] = 0 }
    }
    var count: Int32 = 0
    for id in 0..<n where unsafe sources[id] == 0 {
      unsafe sources[id] = count
      count += 1
    }
    return Int(count)
  }

  /// Writes their rows.
  func spread(to won: UnsafeMutablePointer<Float>, threads: Int) {
    var work = self
    unsafe work.won = won
    work.split(bags.bags.cost, threads)
  }

  func run(_ range: Range<Int>) {
    guard let won = unsafe won else { return }
    let (list, dim) = (bags.bags, bags.dim)
    let (first, last) = (list.bag(ofCost: range.lowerBound), list.bag(ofCost: range.upperBound))
    list.forEach(from: first, to: last.bag) { bag, ids in
      for id in ids where unsafe sources[id] >= 0 {
        unsafe (won + Int(sources[id]) * dim).update(repeating: 0, count: dim)
      }
      for column in 0..<dim {
        let at = bag * dim + column
        let id = unsafe Int(winners[at])
        guard id >= 0 else { continue }
        unsafe won[Int(sources[id]) * dim + column] = gradient[at]
      }
    }
  }

  /// The ids as they are where they win, and -1 where they do not, in memory for as many.
  func winningIDs(_ list: UnsafeMutablePointer<Int32>) -> TokenIDs {
    let n = bags.input.ids.count
    for i in 0..<n {
      let row = unsafe sources[i] < 0 ? -1 : bags.row(bags.input.ids[i])
      unsafe list[i] = Int32(truncatingIfNeeded: row)
    }
    return unsafe TokenIDs(UnsafeBufferPointer(start: list, count: n))
  }
}
