// The memory that the backward of bags works in: the ids grouped by row, whose bag each is in and by what
// its output gradient counts. It grows to the largest call seen and stays.
//
// B bags, N ids, D dim. Up to some 60 bytes an id, and for a maximum D*4 bytes for each id that wins a
// column.

internal import CKernels
public import EmbedKernel

/// Memory that backward calls on bags reuse. A call takes it for itself: use one for each thread that
/// calls.
public struct BagWorkspace: ~Copyable {
  var rows: BackwardWorkspace
  /// Of each id, the row of the gradient that goes to its table row: its bag's, or one of `won`; -1: none.
  private var sources: AlignedBuffer<Int32>
  /// What multiplies it.
  private var idFactors: AlignedBuffer<Float>
  /// The same in the order of the groups.
  private var members: AlignedBuffer<Int32>
  private var factors: AlignedBuffer<Float>
  /// For ids that win columns of a maximum: the output gradient there, and 0 elsewhere.
  private var won: AlignedBuffer<Float>

  /// An empty workspace, with room for calls of `capacity` ids.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public init(capacity: Int = 0) throws(EmbedError) {
    let rows = try BackwardWorkspace(capacity: capacity)
    let sources = try AlignedBuffer<Int32>(count: capacity)
    let idFactors = try AlignedBuffer<Float>(count: capacity)
    let members = try AlignedBuffer<Int32>(count: capacity)
    let factors = try AlignedBuffer<Float>(count: capacity)
    let won = try AlignedBuffer<Float>(count: 0)
    self.rows = rows
    self.sources = sources
    self.idFactors = idFactors
    self.members = members
    self.factors = factors
    self.won = won
  }

  /// The bytes of all its memory.
  public var memoryBytes: Int {
    rows.tokens.memoryBytes
      + 4 * (sources.count + idFactors.count + members.count + factors.count + won.count)
  }

  /// Groups a call's ids by row, and lists for each what goes there.
  ///
  /// - Parameter winners: Of a maximum, checked.
  /// - Returns: Rows of gradients, the groups of these, and what multiplies them, if anything does.
  mutating func prepare(
    _ bags: CheckedBags, _ gradient: UnsafePointer<Float>, _ winners: UnsafePointer<Int32>?,
    threads: Int
  ) throws(EmbedError) -> BagMembers {
    let (input, n) = (bags.input, bags.input.ids.count)
    guard bags.bags.count <= Int(Int32.max) else {
      throw .invalidSize(
        argument: "bags", value: bags.bags.count, expected: "at most \(Int32.max)")
    }
    try reserve(n)
    var choice = RowOfID(
      rows: bags.rows, paddingID: input.options.paddingID, unknownIDs: input.options.unknownIDs)
    var ids = input.ids
    var source = unsafe gradient
    if let winners = unsafe winners {
      let marks = unsafe Winners(
        bags: bags, gradient: gradient, winners: winners, sources: sources.base)
      let floats = try elementCount("rows of winners", marks.number(), bags.dim)
      if won.count < floats { won = try AlignedBuffer(count: floats) }
      unsafe marks.spread(to: won.base, threads: threads)
      unsafe source = UnsafePointer(won.base)
      // Ids that win nothing have no row.
      ids = unsafe marks.winningIDs(members.base)
      choice = RowOfID(rows: bags.rows)
    }
    try rows.tokens.group(ids, choice, threads: threads)
    let isWeighted = unsafe input.weights != nil || input.pool == .mean
    if unsafe winners == nil {
      unsafe ListSources(
        bags: bags, sources: sources.base, factors: isWeighted ? idFactors.base : nil
      ).run(threads)
    }
    var groups = rows.tokens.unsafeView
    let list = unsafe ListMembers(
      tokens: groups.tokens, sources: sources.base, members: members.base,
      idFactors: isWeighted ? idFactors.base : nil, factors: factors.base)
    list.split(groups.tokenCount, n < parallelIDs ? 1 : threads)
    unsafe groups.tokens = UnsafePointer(members.base)
    return unsafe BagMembers(
      rows: source, groups: groups, factors: isWeighted ? UnsafePointer(factors.base) : nil)
  }

  private mutating func reserve(_ ids: Int) throws(EmbedError) {
    guard ids > sources.count else { return }
    let room = max(ids, sources.count + sources.count / 2)
    let sources = try AlignedBuffer<Int32>(count: room)
    let idFactors = try AlignedBuffer<Float>(count: room)
    let members = try AlignedBuffer<Int32>(count: room)
    let factors = try AlignedBuffer<Float>(count: room)
    self.sources = sources
    self.idFactors = idFactors
    self.members = members
    self.factors = factors
  }
}

/// What goes to the rows of a table: for each group g and member k, factors[k] * rows[tokens[k], :].
@safe struct BagMembers {
  let rows: UnsafePointer<Float>
  let groups: RowGroupView
  /// Nil: all are 1.
  let factors: UnsafePointer<Float>?
}

/// Says of each id whose bag it is in, and its weight or its share of a mean.
@safe private struct ListSources: ParallelWork {
  let bags: CheckedBags
  let sources: UnsafeMutablePointer<Int32>
  let factors: UnsafeMutablePointer<Float>?

  func run(_ threads: Int) {
    split(bags.bags.cost, bags.input.ids.count < parallelIDs ? 1 : threads)
  }

  func run(_ range: Range<Int>) {
    let list = bags.bags
    let (first, last) = (list.bag(ofCost: range.lowerBound), list.bag(ofCost: range.upperBound))
    let (ids, weights) = unsafe (bags.input.ids, bags.input.weights)
    list.forEach(from: first, to: last.bag) { bag, range in
      for id in range { unsafe sources[id] = Int32(truncatingIfNeeded: bag) }
      guard let factors = unsafe factors else { return }
      if let weights = unsafe weights {
        for id in range { unsafe factors[id] = weights[id] }
      } else {
        var members = range.count
        if bags.input.options.paddingID != nil {
          for id in range where bags.isPadding(ids[id]) { members -= 1 }
        }
        let share = 1 / Float(members)
        for id in range { unsafe factors[id] = share }
      }
    }
  }
}

/// Puts what is listed for ids into the order of the groups.
@safe private struct ListMembers: ParallelWork {
  let tokens: UnsafePointer<Int32>
  let sources: UnsafePointer<Int32>
  let members: UnsafeMutablePointer<Int32>
  let idFactors: UnsafePointer<Float>?
  let factors: UnsafeMutablePointer<Float>

  func run(_ range: Range<Int>) {
    for k in range { unsafe members[k] = sources[Int(tokens[k])] }
    guard let idFactors = unsafe idFactors else { return }
    for k in range { unsafe factors[k] = idFactors[Int(tokens[k])] }
  }
}

/// From this many ids on, listing them gains from threads.
private let parallelIDs = 1 << 14
