// Where rows are: every row once, evenly, and found again.

import Testing

import EmbedDistributed

@Suite struct PartitionTests {
  @Test(arguments: [1, 2, 5, 64, 97, 1_000], [1, 2, 3, 7, 64])
  func everyRowHasOnePlace(rows: Int, ranks: Int) {
    for sharding in [Sharding.contiguousRows, .hashedRows(seed: 3), .hashedRows(seed: 4)] {
      let partition = Partition(rows: rows, dim: 4, ranks: ranks, sharding)
      var counts = [Int](repeating: 0, count: ranks)
      for row in 0..<rows {
        let place = partition.place(of: row)
        #expect(partition.row(place.row, of: place.rank) == row)
        #expect(place.row < partition.rowCount(of: place.rank))
        counts[place.rank] += 1
      }
      #expect(counts == (0..<ranks).map { partition.rowCount(of: $0) })
      #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 1)
    }
  }

  @Test(arguments: [1, 2, 7, 64, 97], [1, 2, 3, 7, 64])
  func blocksStayWhole(rows: Int, ranks: Int) {
    for size in [1, 2, 5, 64, 200] {
      let partition = Partition(rows: rows, dim: 4, ranks: ranks, .rowBlocks(of: size))
      var owners: [Int] = []
      for row in 0..<rows {
        let place = partition.place(of: row)
        #expect(partition.row(place.row, of: place.rank) == row)
        #expect((0..<partition.rowCount(of: place.rank)).contains(place.row))
        if row % size != 0 { #expect(place.rank == owners[row - 1]) }
        owners.append(place.rank)
      }
      #expect(owners == owners.sorted())
      let counts = (0..<ranks).map { rank in owners.count { $0 == rank } }
      #expect(counts == (0..<ranks).map { partition.rowCount(of: $0) })
      #expect((counts.max() ?? 0) - (counts.min() ?? 0) < 2 * size)
    }
  }

  @Test(arguments: [(100_000_000_000, 64), (1 << 31, 3), (5_000_000_001, 4_096)])
  func tablesMayBeLargerThan32BitsCount(rows: Int, ranks: Int) {
    for sharding in [Sharding.contiguousRows, .hashedRows(seed: 1)] {
      let partition = Partition(rows: rows, dim: 4, ranks: ranks, sharding)
      for row in [0, 1, rows / 3, 1 << 31 - 1, rows - 2, rows - 1] {
        let place = partition.place(of: row)
        #expect(partition.row(place.row, of: place.rank) == row)
        #expect((0..<ranks).contains(place.rank))
        #expect((0..<partition.rowCount(of: place.rank)).contains(place.row))
      }
    }
  }

  @Test func hashingSpreadsFrequentRows() {
    let partition = Partition(rows: 50_257, dim: 4, ranks: 8, .hashedRows())
    var counts = [Int](repeating: 0, count: 8)
    for row in 0..<1_000 { counts[partition.place(of: row).rank] += 1 }
    // 125 expected, a standard deviation of 10.
    for count in counts { #expect((75...175).contains(count)) }
  }
}
