// In which order things are added that ranks have parts of, as the groups of a batch or the blocks of a vocabulary:
// neighbours in pairs, those sums in pairs again. Which sums are made follows from the number of things alone:
// a rank makes the sums whose things are all its own, and whoever gets those makes the others.

/// The sum of the things from `start` on, 2^`level` of them.
package struct PairSum: Equatable {
  package let start: Int
  package private(set) var level = 0

  /// One thing.
  package init(leaf: Int) { start = leaf }

  /// Takes the neighbour on the right into this sum, where the two are a pair of the tree.
  package mutating func join(_ next: PairSum) -> Bool {
    guard level == next.level, next.start == start + 1 << level, start % (2 << level) == 0 else {
      return false
    }
    level += 1
    return true
  }
}

package enum PairTree {
  /// The sums that are left of a rank's things.
  package static func sums(of leaves: Range<Int>) -> [PairSum] {
    var sums: [PairSum] = []
    for leaf in leaves {
      sums.append(PairSum(leaf: leaf))
      while joinLast(&sums) {}
    }
    return sums
  }

  /// The most sums that there are at a time while a rank goes through its things, where each is added to the one
  /// before at once if the two are a pair.
  package static func mostSums(of leaves: Range<Int>) -> Int {
    var most = 0
    for end in leaves { most = max(most, sums(of: leaves.lowerBound..<end + 1).count) }
    return most
  }

  /// Joins the last two sums where they are a pair.
  package static func joinLast(_ sums: inout [PairSum]) -> Bool {
    guard sums.count > 1, sums[sums.count - 2].join(sums[sums.count - 1]) else { return false }
    sums.removeLast()
    return true
  }

  /// The addition of the sum at one place to that at another.
  package struct Addition: Equatable {
    package let to: Int
    package let from: Int
  }

  /// The additions that make one sum, at place 0, of the sums of all things in their order. At the end
  /// a pair may lack its right half: the left one stands for it.
  package static func additions(_ all: [PairSum]) -> [Addition] {
    var (sums, places, additions): ([PairSum], [Int], [Addition]) = ([], [], [])
    func add() {
      let from = places.removeLast()
      additions.append(Addition(to: places[places.count - 1], from: from))
    }
    for (place, sum) in all.enumerated() {
      sums.append(sum)
      places.append(place)
      while joinLast(&sums) { add() }
    }
    while places.count > 1 { add() }
    return additions
  }
}
