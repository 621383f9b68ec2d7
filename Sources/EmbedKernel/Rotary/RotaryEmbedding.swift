// Rotary position embedding (RoPE): each pair of a query's or key's elements is rotated by an angle
// in proportion to the token's position, so that their dot product depends on the distance alone.
// Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021.
//
// B batch, H heads, T context, D head dim, r rotated elements, P = r/2 pairs.

internal import Synchronization

/// The rotation of queries and keys by their positions, with its tables of cosines and sines.
///
/// Make one and share it between layers and threads: tables are computed once, in Double, when a
/// call first needs them, and read without a lock. Any base, partial rotation, all of
/// `PositionIDs`, scaled frequencies (`RotaryScaling`), xPos and several coordinates a token.
public final class RotaryEmbedding: Sendable {
  /// The number of floats of a head's vector, D.
  public let headDim: Int
  /// The elements of a head that are rotated, r; the rest is passed on.
  public let rotaryDim: Int
  /// The ratio of the longest to the shortest wavelength.
  public let base: Double
  /// Which elements form a pair.
  public let layout: RotaryLayout
  /// Which way `.forward` turns: `.backward` for models that turn by the negative angle.
  public let turn: RotaryDirection
  /// How angles are set.
  public let scaling: any RotaryScaling
  /// Which coordinate turns which pair; nil for one coordinate.
  public let axes: RotaryAxes?
  /// How products decay with the distance; nil for not at all.
  public let decay: XPosDecay?

  private let tableBytes: Int
  private let trained: RotaryState
  private let keys: RotaryState?
  private let extended = AtomicLazyReference<RotaryState>()
  private let extendedKeys = AtomicLazyReference<RotaryState>()

  /// The largest head dim that an embedding takes; public models have at most some 600.
  public static let maximumHeadDim = 1 << 16

  /// Makes an embedding; tables are computed when they are first needed.
  ///
  /// - Parameters:
  ///   - headDim: The number of floats of a head's vector, even, at most `maximumHeadDim`.
  ///   - rotaryDim: The elements of it that are rotated, the first ones; nil for all.
  ///   - turn: Which way `.forward` turns.
  ///   - scaling: How angles are set, for example `YaRNScaling`.
  ///   - axes: Which coordinate turns which pair; nil for one coordinate.
  ///   - decay: xPos's decay with the distance.
  ///   - tableBytes: The most memory for one table; rows past it are computed in each call.
  /// - Throws: `invalidSize` for an odd dim or one outside its range, `invalidValue` for a base that
  ///   is not finite and above 0, what the scheme throws, `outOfMemory`.
  public init(
    headDim: Int, rotaryDim: Int? = nil, base: Double = 10_000, layout: RotaryLayout = .halves,
    turn: RotaryDirection = .forward, scaling: any RotaryScaling = NoScaling(),
    axes: RotaryAxes? = nil, decay: XPosDecay? = nil,
    tableBytes: Int = 256 << 20
  ) throws(EmbedError) {
    let rotaryDim = rotaryDim ?? headDim
    guard headDim > 0 else {
      throw .invalidSize(argument: "headDim", value: headDim, expected: "1 or more")
    }
    guard headDim <= Self.maximumHeadDim else {
      throw .invalidSize(
        argument: "headDim", value: headDim, expected: "at most \(Self.maximumHeadDim)")
    }
    guard rotaryDim > 0, rotaryDim <= headDim, rotaryDim.isMultiple(of: 2) else {
      throw .invalidSize(
        argument: rotaryDim == headDim ? "headDim" : "rotaryDim", value: rotaryDim,
        expected: "an even number of 2...\(headDim)")
    }
    try requirePositive("base", base)
    if let decay {
      try requirePositive("scaleBase", decay.scaleBase)
      guard Int32(exactly: decay.center) != nil else {
        throw .invalidSize(
          argument: "center", value: decay.center, expected: "a number of 32 bits")
      }
    }
    guard tableBytes >= 0 else {
      throw .invalidSize(argument: "tableBytes", value: tableBytes, expected: "0 or more")
    }
    self.headDim = headDim
    self.rotaryDim = rotaryDim
    self.base = base
    self.layout = layout
    self.turn = turn
    self.scaling = scaling
    self.axes = axes
    self.decay = decay
    self.tableBytes = tableBytes
    let parts = RotaryParts(rotaryDim, base, scaling, axes, decay, tableBytes)
    trained = try parts.state(.trained, .queries)
    keys = decay == nil ? nil : try parts.state(.trained, .keys)
  }

  /// The angles in force under a scale, one a pair.
  ///
  /// - Throws: What the scheme throws.
  public func frequencies(under scale: RotaryScale = .trained) throws(EmbedError)
    -> RotaryFrequencies
  {
    try parts.frequencies(scale)
  }

  /// Computes the rows of the positions `0..<count` now instead of in the first call that needs
  /// them, for the scale of sequences of `count` tokens.
  ///
  /// Allocates up to twice `count * rotaryDim * 4` bytes, within the limit of the embedding.
  public func reserve(positions count: Int) throws(EmbedError) {
    let scale = scaling.scale(length: count)
    for role in RotaryRole.allCases { try state(scale, role).reserve(count) }
  }

  /// The positions that rows are kept for, in the table of the trained scale.
  package var tableRows: Int { trained.rowCount }

  package var pairs: Int { rotaryDim / 2 }

  private var parts: RotaryParts { RotaryParts(rotaryDim, base, scaling, axes, decay, tableBytes) }

  /// The angles and tables of a scale: kept, except for those of a single length.
  @inline(__always)
  func state(_ scale: RotaryScale, _ role: RotaryRole) throws(EmbedError) -> RotaryState {
    switch scale {
    case .trained: return role == .keys ? keys ?? trained : trained
    case .extended:
      let isKeys = role == .keys && decay != nil
      if let found = isKeys ? extendedKeys.load() : extended.load() { return found }
      let made = try parts.state(scale, role)
      return isKeys ? extendedKeys.storeIfNil(made) : extended.storeIfNil(made)
    case .length: return try parts.state(scale, role)
    }
  }

  /// The state that turns keys rotated under one scale into keys rotated under another.
  func change(from old: RotaryScale, to new: RotaryScale) throws(EmbedError) -> RotaryState {
    let (before, after) = (try parts.frequencies(old), try parts.frequencies(new))
    guard before.attentionFactor != 0 else {
      throw .invalidValue(
        argument: "attention factor", value: 0, expected: "other than 0 to rescale keys")
    }
    let difference = RotaryFrequencies(
      zip(after.radians, before.radians).map { $0 - $1 },
      attentionFactor: after.attentionFactor / before.attentionFactor)
    return try RotaryState(
      difference, axes: try axes?.coordinates(pairs: pairs), tableBytes: 0)
  }
}

extension RotaryEmbedding {
  /// The highest position that can be: positions are 32-bit numbers, and xPos has a reach.
  var maximumPosition: Int {
    let largest = Int(Int32.max)
    guard let decay else { return largest }
    return min(largest, decay.center + decay.reach(rotaryDim: rotaryDim))
  }

  /// The angles for a call, with rows for its positions as far as the table goes.
  @inline(__always)
  func state(
    under scale: RotaryScale?, _ role: RotaryRole, _ place: PositionIDs, batch: Int, context: Int
  ) throws(EmbedError) -> RotaryState {
    // The usual call: the trained angles, and all positions in the table.
    let first = try state(scale ?? .trained, role)
    let isKnown: Bool
    do throws(EmbedError) {
      isKnown = try place.check(
        batch: batch, context: context, maximum: min(first.rowCount, maximumPosition + 1))
    } catch {
      // Checked once more below, for an error that names the real limit.
      isKnown = false
    }
    if isKnown, scale != nil || scaling.scale(length: first.rowCount) == .trained {
      return first
    }
    let needed = try length(place, batch: batch, context: context)
    let state = scale == nil ? try state(scaling.scale(length: needed), role) : first
    try state.reserve(needed)
    return state
  }

  /// One more than the highest position.
  func length(_ place: PositionIDs, batch: Int, context: Int) throws(EmbedError) -> Int {
    let maximum = maximumPosition + 1
    try place.requireBelow(maximum, batch: batch, context: context)
    if let decay, decay.center > 0 {
      // Before the center queries shrink and keys grow.
      let lowest = decay.center - decay.reach(rotaryDim: rotaryDim)
      guard lowest <= 0 else {
        throw .invalidSize(
          argument: "center", value: decay.center,
          expected: "at most the decay's reach, \(decay.reach(rotaryDim: rotaryDim))")
      }
    }
    return place.length(context: context, in: 0..<batch * context)
  }
}
