// A call on bags, cut into parts of equal numbers of ids for threads; a bag that is longer than a part
// is cut by columns instead. Neither changes the order in which a column's numbers are added.
//
// B bags, N ids, D dim.

internal import CKernels
internal import EmbedKernel

/// Bags pooled into rows of an output.
@safe struct BagWork: ParallelWork {
  /// All bags and columns; a part changes which.
  var tile: ek_bag_tile
  let plan: Plan
  let ids: TokenIDs
  let pages: TablePages?

  /// Pools all bags.
  ///
  /// - Parameters:
  ///   - longest: The ids of the longest.
  ///   - leastBytes: What a bag's rows have at least where it is cut by columns.
  mutating func run(longest: Int, leastBytes: Int) {
    let (bags, threads) = (tile.bags, plan.threads)
    let rowBytes = max(1, tile.table.row_bytes)
    // A bag is cut by columns where it takes a large share of the time, and enough of it.
    let limit = max(bags.cost / (4 * max(1, threads)), leastBytes / rowBytes)
    let cuts = threads > 1 && longest > limit && tile.columns > columnsOfStep
    if cuts { tile.longest = limit }
    split(bags.cost, threads)
    guard cuts else { return }
    bags.forEach(to: bags.count) { bag, ids in
      guard ids.count > limit else { return }
      HugeBag(work: self, bag: bag, ids: ids).run()
    }
  }

  func run(_ range: Range<Int>) {
    let bags = tile.bags
    let (first, last) = (bags.bag(ofCost: range.lowerBound), bags.bag(ofCost: range.upperBound))
    guard first.bag < last.bag else { return }
    var part = tile
    part.first = first.bag
    part.last = last.bag
    part.start = first.start
    guard let pages, pages.clock != nil else { return plan.pool(&part) }
    // As many bags at a time as have their rows resident; one that has more goes past the limit.
    let most = pages.rowsAtOnce
    part.last = first.bag
    var end = first.start
    bags.forEach(from: first, to: last.bag) { bag, ids in
      if ids.upperBound - part.start > most, part.last > part.first {
        plan.pool(&part, part.start..<end, self.ids, pages)
        (part.first, part.start) = (bag, ids.lowerBound)
      }
      (part.last, end) = (bag + 1, ids.upperBound)
    }
    plan.pool(&part, part.start..<end, ids, pages)
  }
}

/// One bag, cut by columns.
@safe private struct HugeBag: ParallelWork {
  var tile: ek_bag_tile
  let plan: Plan
  let work: BagWork
  let ids: Range<Int>

  init(work: BagWork, bag: Int, ids: Range<Int>) {
    plan = work.plan
    self.work = work
    self.ids = ids
    tile = work.tile
    tile.first = bag
    tile.last = bag + 1
    tile.start = ids.lowerBound
    tile.longest = .max
  }

  func run() {
    let steps = (tile.columns + columnsOfStep - 1) / columnsOfStep
    split(steps, plan.threads, parts: plan.threads)
  }

  func run(_ range: Range<Int>) {
    var part = tile
    part.column = range.lowerBound * columnsOfStep
    part.columns =
      min(tile.columns, range.upperBound * columnsOfStep) - range.lowerBound * columnsOfStep
    plan.pool(&part, ids, work.ids, work.pages)
  }
}

extension Plan {
  /// The same, of the rows of a range of ids that are resident meanwhile.
  fileprivate func pool(
    _ tile: inout ek_bag_tile, _ range: Range<Int>, _ ids: TokenIDs, _ pages: TablePages?
  ) {
    guard let pages else { return pool(&tile) }
    var part = tile
    pages.visit({ admit in range.forEach { admit(ids[$0]) } }) { pool(&part) }
  }

  /// Pools the bags of a tile: by its backend where that has a way of its own for floats, else in C, by
  /// the portable set for other backends than `native`.
  fileprivate func pool(_ tile: inout ek_bag_tile) {
    let isFloat = tile.table.format == EK_ROWS_F32 && tile.output_type == EK_F32
    switch backend {
    case .simd where isFloat: SIMDBags.pool(tile)
    case .openBLAS where isFloat && tile.pool != EK_POOL_MAX: OpenBLASBags.pool(tile)
    default: unsafe kernels.pointee.pool_rows(&tile)
    }
  }
}

/// The gradients of weights, cut by ids.
@safe struct BagWeightWork: ParallelWork {
  let tile: ek_bag_tile
  let plan: Plan
  let ids: TokenIDs
  let pages: TablePages?

  func run() { split(tile.bags.ids, plan.threads) }

  func run(_ range: Range<Int>) {
    pages.visitParts(of: range, { ids[$0] }, find)
  }

  private func find(_ range: Range<Int>) {
    guard !range.isEmpty else { return }
    var part = tile
    let first = tile.bags.bag(of: range.lowerBound)
    part.first = first.bag
    part.start = first.start
    part.last = tile.bags.bag(of: range.upperBound - 1).bag + 1
    part.first_id = range.lowerBound
    part.last_id = range.upperBound
    unsafe plan.kernels.pointee.bag_weight_gradients(&part)
  }
}

/// What C takes at a time.
let columnsOfStep = 32
