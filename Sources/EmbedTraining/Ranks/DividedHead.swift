// The head of a model that is trained with its vocabulary divided over ranks: the hidden states of the whole batch are
// made first, the head takes them all at once, and its gradient of them goes back through the blocks. Which sums
// it makes follows from the blocks of the vocabulary and the batch, never from the ranks.
//
// N tokens of the batch, n of this rank, D dim, v of V rows of the table in this rank's blocks.

internal import EmbedDistributed
internal import EmbedKernel

/// The output head over ranks.
@safe final class DividedHead {
  /// What the passes and ranks give and take.
  final class Memory {
    /// The hidden states of this rank's sequences, and their gradient, `[n, D]`.
    let hidden: AlignedBuffer<Float>
    var hiddenGradient: AlignedBuffer<Float>
    /// What ranks give of the table's gradient for the stretch that this one steps.
    let arrived: AlignedBuffer<Float>

    init(hidden: Int, arrived: Int) throws(EmbedError) {
      self.hidden = try AlignedBuffer(count: hidden)
      hiddenGradient = try AlignedBuffer(count: hidden)
      self.arrived = try AlignedBuffer(count: arrived)
    }
  }

  let memory: Memory
  private let parameter: Parameter
  /// Where it stands among the parameters that are stepped, and whether the input's gradient is added to it.
  private let index: Int
  private let isTied: Bool
  private let ranks: Communicator
  private let table: ShardedTable
  private let head: ShardedHead
  /// That of this rank's rows.
  private var gradient: TableGradient
  private let pieces: Exchange
  private let rows: Int

  /// - Parameters:
  ///   - blocks: Into how many the vocabulary is cut.
  ///   - rows: The tokens of this rank, and of all.
  /// - Throws: `invalid` and `refused` for more blocks than there are words, or where memory ends; on all ranks.
  init(
    _ model: GPT, _ stepped: SteppedParameters, blocks: Int, rows: (own: Int, all: Int),
    threads: Int, over ranks: Communicator
  ) throws(DistributedError) {
    let (parameter, sizes) = (model.head, model.configuration)
    let index = stepped.all.firstIndex { $0 === parameter } ?? 0
    let layout = ParameterLayout(stepped.all, ranks: ranks.size)
    var made: (ShardedTable, Memory)?
    var fault: DistributedError?
    do throws(DistributedError) {
      guard blocks <= sizes.vocabulary else {
        throw .invalid(
          .invalidSize(
            argument: "vocabulary blocks", value: blocks,
            expected: "at most the vocabulary, \(sizes.vocabulary)"))
      }
      let table = try ShardedTable(
        rows: sizes.vocabulary, dim: sizes.dim,
        .rowBlocks(of: (sizes.vocabulary - 1) / blocks + 1), ranks)
      let own = layout.stretch(of: ranks.rank).clamped(
        to: layout.starts[index]..<layout.starts[index + 1])
      do throws(EmbedError) {
        made = (table, try Memory(hidden: rows.own * sizes.dim, arrived: own.count))
      } catch {
        throw .invalid(error)
      }
    } catch {
      fault = error
    }
    try ranks.share(fault, "making of a head")
    guard let (table, memory) = made else { throw .broken(operation: "making of a head") }
    let head = try ShardedHead(table, threads: threads)
    var gradient: TableGradient?
    try ranks.together("making of a head") {
      try head.reserve(rows.all)
      gradient = try head.makeGradient()
    }
    guard let gradient else { throw .broken(operation: "making of a head") }
    self.parameter = parameter
    self.index = index
    isTied = sizes.head == .tied
    self.ranks = ranks
    self.table = table
    self.head = head
    self.gradient = gradient
    self.memory = memory
    pieces = Exchange(ranks: ranks.size)
    self.rows = rows.own
  }

  /// The bytes of this rank's part of the table and its gradient, and of what calls work in.
  var memoryBytes: Int {
    let shard = table.shard
    return 4 * (2 * memory.hidden.count + memory.arrived.count + 2 * shard.rows * shard.dim)
      + head.scratchBytes
  }

  /// The mean loss of the batch from the hidden states of all ranks; leaves their gradient, and that of the table.
  ///
  /// - Parameter targets: Those of this rank.
  /// - Complexity: Copies v D floats of the table; sends what `ShardedHead.gradients` does.
  func run(_ targets: Span<Int32>) throws(DistributedError) -> Double {
    table.take(parameter.table)
    return try head.gradients(
      memory.hidden, targets: targets, rows: rows, into: &memory.hiddenGradient,
      tableGradient: &gradient)
  }

  /// Adds the table's gradient to what each rank steps; one that the input has no part of takes its place.
  ///
  /// - Parameter total: The gradient of this rank's stretch.
  /// - Complexity: Sends 4 D bytes of each of this rank's v rows that another steps.
  @unsafe func giveGradient(
    to total: UnsafeMutablePointer<Float>, _ layout: ParameterLayout
  ) throws(DistributedError) {
    let dim = table.dim
    var starts = [layout.starts[index]]
    for rank in 0..<ranks.size { starts.append(starts[rank] + table.rowCount(of: rank) * dim) }
    let (rank, whole) = (ranks.rank, layout.starts[index]..<layout.starts[index + 1])
    let (rows, own) = (starts[rank]..<starts[rank + 1], layout.stretch(of: rank))
    let stepped = own.clamped(to: whole)
    let base = unsafe memory.arrived.unsafeBuffer.baseAddress
    let values = unsafe gradient.unsafeBuffer.baseAddress.unsafelyUnwrapped
    for peer in 0..<ranks.size {
      let sent = rows.clamped(to: layout.stretch(of: peer))
      unsafe pieces.send(
        values + (sent.isEmpty ? 0 : sent.lowerBound - rows.lowerBound), bytes: 4 * sent.count,
        to: peer)
      let taken = (starts[peer]..<starts[peer + 1]).clamped(to: stepped)
      unsafe pieces.receive(
        taken.isEmpty
          ? nil
          : base.map {
            unsafe UnsafeMutableRawPointer($0 + (taken.lowerBound - stepped.lowerBound))
          },
        bytes: 4 * taken.count, from: peer)
    }
    try ranks.run(pieces, "exchange of the head's gradient")
    guard let base = unsafe base, !stepped.isEmpty else { return }
    let place = unsafe total + (stepped.lowerBound - own.lowerBound)
    if isTied {
      for i in 0..<stepped.count { unsafe place[i] += base[i] }
    } else {
      unsafe place.update(from: base, count: stepped.count)
    }
  }
}
