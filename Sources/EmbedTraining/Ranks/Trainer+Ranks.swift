// What ranks of a run must have alike, and a checkpoint of which each rank has a part: rank 0 writes it, as one
// process would, of what the others send an array at a time.

internal import EmbedDistributed
internal import EmbedKernel

extension Trainer {
  /// What a run's bits follow from.
  static func facts(
    _ model: GPT, _ options: TrainingOptions, _ context: Int?
  ) -> [(name: String, value: String)] {
    let texts = model.configuration.texts.merging(options.texts) { $1 }
    return texts.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) } + [
      ("context", "\(context ?? model.configuration.context)"),
      ("check sum of the parameters", "\(model.checkSum)"),
    ] + Communicator.kernelFacts
  }

  /// What ranks must have alike to save.
  func savedFacts(_ path: String) -> [(name: String, value: String)] {
    [
      ("file", path), ("steps taken", "\(stepCount)"),
      ("check sum of the parameters", "\(model.checkSum)"),
    ]
  }

  /// Saves on all ranks.
  func saveOverRanks(to path: String, _ texts: [String: String]) throws(TrainingError) {
    let arrays = stateArrays
    var gathering: StateGathering?
    var fault: TrainingError?
    do throws(EmbedError) {
      gathering = try StateGathering(self)
    } catch {
      fault = .model(error)
    }
    try TrainingError.wrappingRanks { () throws(DistributedError) in
      try ranks.agree(savedFacts(path))
      try ranks.share(fault, "writing of a checkpoint")
    }
    guard let gathering else { return }

    let all = model.parameters.flatMap { parameter in arrays.map { (parameter, $0) } }
    var done = 0
    func next() throws(TrainingError) {
      let (parameter, array) = all[done]
      done += 1
      try TrainingError.wrappingRanks { () throws(DistributedError) in
        try gathering.run(parameter, array)
      }
    }
    if ranks.rank == 0 {
      do throws(TrainingError) {
        try write(to: path, texts) { (parameter, _, body) throws(TrainingError) in
          try next()
          try body(gathering.bytes(of: parameter))
        }
      } catch .ranks(let error) {
        throw .ranks(error)
      } catch {
        fault = error
      }
    }
    // Whatever became of the file, the others send.
    while done < all.count { try next() }
    do throws(DistributedError) {
      try ranks.share(fault, "writing of a checkpoint")
    } catch {
      throw fault ?? .ranks(error)
    }
  }
}

extension GPT {
  /// Of all parameters' values.
  fileprivate var checkSum: UInt32 {
    CheckSum.of(
      parameters.map { parameter in
        let table = parameter.table
        return CheckSum.of(table.span)
      })
  }
}

/// The way of an array of state from those who have its rows to rank 0.
@safe private final class StateGathering {
  private let ranks: Communicator
  private let shards: [ParameterShard]
  private let layout: ParameterLayout
  private let parameters: [Parameter]
  private let pieces: Exchange
  /// On rank 0 the largest parameter's.
  private let whole: AlignedBuffer<Float>

  init(_ trainer: Trainer) throws(EmbedError) {
    ranks = trainer.ranks
    shards = trainer.shards
    parameters = trainer.stepped.all
    layout = ParameterLayout(parameters, ranks: ranks.size)
    pieces = Exchange(ranks: ranks.size)
    let largest = parameters.reduce(0) { max($0, $1.table.rows * $1.table.dim) }
    whole = try AlignedBuffer(count: ranks.rank == 0 ? largest : 0)
  }

  func run(_ parameter: Parameter, _ array: StateArray) throws(DistributedError) {
    let index = parameters.firstIndex { $0 === parameter } ?? 0
    let start = layout.starts[index]
    let memory = unsafe shards.first { $0.parameter === parameter }.map {
      unsafe $0.optimizer.memory(of: array)
    }
    let isFirst = ranks.rank == 0
    for peer in 0..<ranks.size {
      let theirs = layout.stretch(of: peer).clamped(to: start..<layout.starts[index + 1])
      unsafe pieces.send(
        peer == 0 ? memory?.baseAddress.map { UnsafeRawPointer($0) } : nil,
        bytes: peer == 0 ? memory?.count ?? 0 : 0, to: peer)
      unsafe pieces.receive(
        isFirst && !theirs.isEmpty
          ? whole.unsafeBuffer.baseAddress.map {
            unsafe UnsafeMutableRawPointer($0 + (theirs.lowerBound - start))
          } : nil,
        bytes: isFirst ? 4 * theirs.count : 0, from: peer)
    }
    try ranks.run(pieces, "gathering of state")
  }

  /// What has come of a parameter's array.
  @_lifetime(borrow self)
  func bytes(of parameter: Parameter) -> RawSpan {
    let count = parameter.table.rows * parameter.table.dim
    return unsafe _overrideLifetime(
      RawSpan(
        _unsafeBytes: UnsafeRawBufferPointer(whole.unsafeBuffer.extracting(0..<count))),
      borrowing: self)
  }
}
