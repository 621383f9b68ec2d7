// Byte-pair encoding of one piece: starting from single bytes, the neighbours with the lowest rank
// merge, the leftmost first, until no rule applies. Short pieces scan an array for the minimum, in C,
// which is fastest for a word; long ones keep the candidates in a heap, O(n log n), so that a
// megabyte without a space costs no more per byte than prose does.

internal import CTokenizer

/// Merges pieces in buffers that it keeps from one to the next. Not to be shared between threads.
struct PieceMerger {
  private struct Node {
    var id: UInt32
    var merge: Merge
    var previous: UInt32
    var next: UInt32
  }

  private var nodes: [Node] = []
  /// Rank over position: the order of merging is the order of these numbers.
  private var heap: [UInt64] = []
  /// What long pieces took so far: candidates queued or looked at, and the longest one's bytes.
  private(set) var steps = 0
  private(set) var longest = 0

  /// Appends the tokens of the `length` (at least 1) bytes at `text` to `ids`.
  ///
  /// `length` is below `UInt32.max`. Allocates nothing in the steady state but what `ids` grows by.
  mutating func merge(
    _ text: UnsafePointer<UInt8>, _ length: Int, tables: MergeTables,
    byteIDs: borrowing [UInt32], into ids: inout [Int32]
  ) {
    if length <= MergeTables.longestPiece {
      unsafe withUnsafeTemporaryAllocation(of: Int32.self, capacity: length) { room in
        let count = unsafe ek_merge(tables.vocabulary, text, length, room.baseAddress)
        unsafe ids.append(contentsOf: UnsafeBufferPointer(rebasing: room[..<count]))
      }
    } else {
      unsafe queue(text, length, tables, byteIDs)
      var position = 0
      while position < length {
        ids.append(Int32(bitPattern: nodes[position].id))
        position = Int(nodes[position].next)
      }
      if nodes.capacity > 1 << 20 {
        // A rare giant should not hold its memory for ever.
        nodes = []
        heap = []
      }
    }
  }

  private mutating func queue(
    _ text: UnsafePointer<UInt8>, _ length: Int, _ tables: MergeTables,
    _ byteIDs: borrowing [UInt32]
  ) {
    steps += length
    longest = max(longest, length)
    nodes.removeAll(keepingCapacity: true)
    heap.removeAll(keepingCapacity: true)
    nodes.reserveCapacity(length)
    for i in 0..<length {
      let id = unsafe byteIDs[Int(text[i])]
      if i > 0 {
        let merge = tables.merge(nodes[i - 1].id, id)
        nodes[i - 1].merge = merge
        if merge.rank != .max { heap.append(UInt64(merge.rank) << 32 | UInt64(i - 1)) }
      }
      // The first node's previous is out of range, as the last one's next is.
      let previous = UInt32(truncatingIfNeeded: i - 1)
      nodes.append(Node(id: id, merge: .none, previous: previous, next: UInt32(i + 1)))
    }
    for i in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(i) }

    while let top = heap.first {
      steps += 1
      popTop()
      let position = Int(top & 0xFFFF_FFFF)
      let node = nodes[position]
      // An entry is stale when its part has merged since, alone or with a neighbour.
      guard UInt64(node.merge.rank) == top >> 32, node.merge.rank != .max else { continue }
      let absorbed = Int(node.next)
      let next = nodes[absorbed].next
      nodes[absorbed].merge = .none
      nodes[position].id = node.merge.id
      nodes[position].next = next
      if Int(next) < length { nodes[Int(next)].previous = UInt32(position) }
      update(position, length, tables)
      if Int(node.previous) < length { update(Int(node.previous), length, tables) }
    }
  }

  /// Looks up a part's merge with its next part again, and queues it.
  private mutating func update(_ position: Int, _ length: Int, _ tables: MergeTables) {
    let next = Int(nodes[position].next)
    let merge = next < length ? tables.merge(nodes[position].id, nodes[next].id) : .none
    nodes[position].merge = merge
    guard merge.rank != .max else { return }
    heap.append(UInt64(merge.rank) << 32 | UInt64(position))
    var child = heap.count - 1
    while child > 0, heap[child] < heap[(child - 1) / 2] {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  private mutating func popTop() {
    let last = heap.removeLast()
    if heap.isEmpty { return }
    heap[0] = last
    siftDown(0)
  }

  private mutating func siftDown(_ start: Int) {
    var parent = start
    while true {
      var child = parent * 2 + 1
      guard child < heap.count else { return }
      if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
      guard heap[child] < heap[parent] else { return }
      heap.swapAt(child, parent)
      parent = child
    }
  }
}
