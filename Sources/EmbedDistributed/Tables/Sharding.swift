// Where each row and column of a table is: the one rule that all ranks compute alike, from sizes alone.

/// How a table `[rows, dim]` is divided over ranks.
public enum Sharding: Hashable, Sendable {
  /// Each rank has a range of rows, as equal in number as they can be.
  case contiguousRows

  /// Each rank has an equal number of rows, chosen by a permutation of row numbers: ids that rise with
  /// their rarity, as tokenizers' do, load all ranks alike.
  case hashedRows(seed: UInt64 = 0)

  /// Each rank has a range of blocks of so many rows, the last of which may be shorter: what `ShardedHead`
  /// needs, whose sums follow from the blocks.
  case rowBlocks(of: Int)

  /// Each rank has a range of columns of every row.
  case columns
}

/// A table's division over ranks.
package struct Partition: Sendable {
  let rows: Int
  let dim: Int
  let ranks: Int
  let sharding: Sharding
  /// The rows that are not parted.
  private let blockSize: Int
  private let permutation: RowPermutation?

  package init(rows: Int, dim: Int, ranks: Int, _ sharding: Sharding) {
    self.rows = rows
    self.dim = dim
    self.ranks = ranks
    self.sharding = sharding
    if case .rowBlocks(let size) = sharding { blockSize = max(1, size) } else { blockSize = 1 }
    if case .hashedRows(let seed) = sharding {
      permutation = RowPermutation(count: rows, seed: seed)
    } else {
      permutation = nil
    }
  }

  var isByColumns: Bool { sharding == .columns }

  /// The columns that a rank has.
  func columns(of rank: Int) -> Range<Int> {
    isByColumns ? Self.share(dim, ranks, rank) : 0..<dim
  }

  /// How many rows a rank has.
  package func rowCount(of rank: Int) -> Int {
    isByColumns ? rows : places(of: rank).count
  }

  /// The first of the rank's places in the order of the division; row `local` of it has the place after.
  private func firstPlace(of rank: Int) -> Int {
    isByColumns ? 0 : places(of: rank).lowerBound
  }

  /// The rank's places in the order of the division: as many for each, in whole blocks.
  private func places(of rank: Int) -> Range<Int> {
    let blocks = Self.share((rows - 1) / blockSize + 1, ranks, rank)
    return min(rows, blocks.lowerBound * blockSize)..<min(rows, blocks.upperBound * blockSize)
  }

  /// Which rank has a row, and as which of its own. By columns every rank has it, and rank 0 stands for all.
  @inline(__always)
  package func place(of row: Int) -> (rank: Int, row: Int) {
    guard !isByColumns else { return (0, row) }
    let place = permutation.map { $0[row] } ?? row
    guard blockSize > 1 else { return Self.owner(of: place, rows, ranks) }
    let (block, rest) = place.quotientAndRemainder(dividingBy: blockSize)
    let (rank, local) = Self.owner(of: block, (rows - 1) / blockSize + 1, ranks)
    return (rank, local * blockSize + rest)
  }

  /// Which rank has a thing of `count`, and as which of its own.
  @inline(__always)
  static func owner(of thing: Int, _ count: Int, _ ranks: Int) -> (rank: Int, row: Int) {
    let (least, more) = count.quotientAndRemainder(dividingBy: ranks)
    let boundary = more * (least + 1)
    if thing < boundary {
      let (rank, local) = thing.quotientAndRemainder(dividingBy: least + 1)
      return (rank, local)
    }
    let (rank, local) = (thing - boundary).quotientAndRemainder(dividingBy: least)
    return (rank + more, local)
  }

  /// The row of the table that a rank's row `local` is.
  package func row(_ local: Int, of rank: Int) -> Int {
    let place = firstPlace(of: rank) + local
    return permutation.map { $0.inverse(of: place) } ?? place
  }

  /// The rank's part of `count` things: the first ranks have one more where they don't divide evenly.
  package static func share(_ count: Int, _ ranks: Int, _ rank: Int) -> Range<Int> {
    let (least, more) = count.quotientAndRemainder(dividingBy: ranks)
    let start = rank * least + min(rank, more)
    return start..<start + least + (rank < more ? 1 : 0)
  }
}

/// A permutation of `0..<count` without a table: a mix of the bits of the next power of two, which is
/// repeated while its result is not below `count` (cycle walking; less than two rounds on average).
struct RowPermutation: Sendable {
  private let count: Int
  private let mask: UInt64
  private let shift: UInt64
  private let factors: (UInt64, UInt64)
  private let inverses: (UInt64, UInt64)
  private let offset: UInt64

  init(count: Int, seed: UInt64) {
    let bits = max(1, Int.bitWidth - max(0, count - 1).leadingZeroBitCount)
    self.count = count
    mask = bits == 64 ? .max : 1 << UInt64(bits) - 1
    // Shifting by half the bits or more makes x ^ (x >> shift) its own inverse.
    shift = UInt64((bits + 1) / 2)
    factors = (Self.mix(seed) | 1, Self.mix(seed &+ 1) | 1)
    inverses = (Self.inverse(factors.0), Self.inverse(factors.1))
    offset = Self.mix(seed &+ 2)
  }

  subscript(_ index: Int) -> Int {
    var x = UInt64(index)
    repeat {
      x = (x &+ offset) & mask
      x ^= x >> shift
      x = (x &* factors.0) & mask
      x ^= x >> shift
      x = (x &* factors.1) & mask
      x ^= x >> shift
    } while x >= UInt64(count)
    return Int(x)
  }

  func inverse(of place: Int) -> Int {
    var x = UInt64(place)
    repeat {
      x ^= x >> shift
      x = (x &* inverses.1) & mask
      x ^= x >> shift
      x = (x &* inverses.0) & mask
      x ^= x >> shift
      x = (x &- offset) & mask
    } while x >= UInt64(count)
    return Int(x)
  }

  /// The inverse of an odd number modulo 2^64, by Newton's iteration: each round doubles the right bits.
  private static func inverse(_ odd: UInt64) -> UInt64 {
    var x = odd
    for _ in 0..<5 { x = x &* (2 &- odd &* x) }
    return x
  }

  /// SplitMix64's last steps.
  private static func mix(_ seed: UInt64) -> UInt64 {
    var z = seed &* 0x9E37_79B9_7F4A_7C15 &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
