// In which order the gradients of a batch's groups are added: neighbours in pairs, those sums in pairs again.
// Which sums are made follows from the number of groups alone, so that it does not matter which rank has which
// groups: a rank makes the sums whose groups are all its own, and whoever gets those makes the others.

/// The sum of the groups from `start` on, 2^`level` of them.
package struct GroupSum: Equatable {
  package let start: Int
  package private(set) var level = 0

  init(group: Int) { start = group }

  /// Takes the neighbour on the right into this sum, where the two are a pair of the tree.
  mutating func join(_ next: GroupSum) -> Bool {
    guard level == next.level, next.start == start + 1 << level, start % (2 << level) == 0 else {
      return false
    }
    level += 1
    return true
  }
}

package enum GroupTree {
  /// The sums that are left of a rank's groups.
  package static func sums(of groups: Range<Int>) -> [GroupSum] {
    var sums: [GroupSum] = []
    for group in groups {
      sums.append(GroupSum(group: group))
      while joinLast(&sums) {}
    }
    return sums
  }

  /// The most sums that there are at a time while a rank goes through its groups, where each is added to the one
  /// before at once if the two are a pair.
  static func mostSums(of groups: Range<Int>) -> Int {
    var most = 0
    for end in groups { most = max(most, sums(of: groups.lowerBound..<end + 1).count) }
    return most
  }

  /// Joins the last two sums where they are a pair.
  static func joinLast(_ sums: inout [GroupSum]) -> Bool {
    guard sums.count > 1, sums[sums.count - 2].join(sums[sums.count - 1]) else { return false }
    sums.removeLast()
    return true
  }

  /// An addition of the sum at one place to that at another.
  package struct Addition: Equatable {
    package let to: Int
    package let from: Int
  }

  /// The additions that make one sum, at place 0, of the sums of all groups in their order. At the end of
  /// the batch a pair may lack its right half: the left one stands for it.
  package static func additions(_ all: [GroupSum]) -> [Addition] {
    var (sums, places, additions): ([GroupSum], [Int], [Addition]) = ([], [], [])
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
