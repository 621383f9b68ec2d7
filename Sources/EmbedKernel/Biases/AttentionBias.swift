// The protocol of everything that is added to attention logits because of where queries and keys
// stand. A scheme is one file that adds a type with this protocol.
//
// A call is cut into blocks: one head, queries at consecutive positions, keys at consecutive
// positions. Batches, offsets, packing, padding, masks and threads are settled before a scheme sees
// a block, so a scheme is its formula and nothing else.

/// A bias of attention logits `[batch, heads, queries, keys]`.
///
/// The least a scheme has is `heads` and `value(head:query:key:)`. It is then right everywhere, at a
/// formula a logit; `add(_:)` can be replaced by something faster. A scheme that depends on the
/// distance alone takes `DistanceBias`, and `DistanceTable` makes it as fast as a plain addition.
public protocol AttentionBias: Sendable {
  /// The scheme's name, as options and checkpoints spell it.
  var name: String { get }

  /// The number of heads it has biases for; nil where all heads are alike.
  var heads: Int? { get }

  /// The number of positions it knows, `0..<positions`; nil where it knows any.
  var positions: Int? { get }

  /// The floats of a query's or a key's vector that the scheme reads; nil where it reads none.
  var headDim: Int? { get }

  /// The scheme as a table over distance, where it is one: its calls take the shortest way.
  var distanceTable: DistanceTable? { get }

  /// The bias of one logit, exact to Double.
  ///
  /// - Parameters:
  ///   - query: The query's position.
  ///   - key: The key's position.
  func value(head: Int, query: Int, key: Int) -> Double

  /// Makes whatever tables blocks within `reach` need. Called before the blocks of every call.
  func prepare(_ reach: BiasReach) throws(EmbedError)

  /// Adds the bias to each logit of `block`.
  func add(_ block: BiasBlock)
}

extension AttentionBias {
  /// Any number.
  public var positions: Int? { nil }

  /// None: the bias depends on positions alone.
  public var headDim: Int? { nil }

  /// Not one.
  public var distanceTable: DistanceTable? { nil }

  /// Needs no tables.
  public func prepare(_ reach: BiasReach) throws(EmbedError) {}

  /// Computes the formula for each logit and rounds it once.
  public func add(_ block: BiasBlock) {
    for (row, query) in block.queries.enumerated() {
      for (column, key) in block.keys.enumerated() {
        block.add(Float(value(head: block.head, query: query, key: key)), row, column)
      }
    }
  }
}

/// How far keys stand from queries in a call.
public struct BiasReach: Hashable, Sendable {
  /// The largest distance to a key before its query, 0 or more.
  public var past: Int
  /// The largest distance to a key after its query, 0 or more.
  public var future: Int

  /// Takes both.
  public init(past: Int, future: Int) {
    self.past = past
    self.future = future
  }

  /// The number of distances, `-future...past`.
  public var count: Int { past + future + 1 }

  func covers(_ other: BiasReach) -> Bool { past >= other.past && future >= other.future }
}

/// The logits of one head for queries and keys at consecutive positions.
@safe public struct BiasBlock {
  /// The sequence of the batch.
  public let batchRow: Int
  /// The head.
  public let head: Int
  /// The queries' positions, a row of logits each.
  public let queries: Range<Int>
  /// The keys' positions, a column each.
  public let keys: Range<Int>
  /// Whether keys after their query are masked: what is added to them is lost.
  public let isCausal: Bool
  /// The queries' vectors, shape `[queries.count, headDim]`; nil where the call has none.
  public let queryVectors: UnsafePointer<Float>?
  /// The keys' vectors, shape `[keys.count, headDim]`; nil where the call has none.
  public let keyVectors: UnsafePointer<Float>?
  /// Whether the logits hold nothing yet, and the bias is to be written rather than added. A scheme
  /// whose `add(_:)` is not told so finds zeros in them.
  let overwrites: Bool
  /// The first logit, and the floats from one row to the next.
  package let logits: UnsafeMutablePointer<Float>
  package let stride: Int
  package let plan: Plan

  /// Adds `value` to the logit of row `row` and column `column`.
  public func add(_ value: Float, _ row: Int, _ column: Int) {
    precondition(queries.indices.contains(queries.lowerBound + row), "row out of bounds")
    precondition(keys.indices.contains(keys.lowerBound + column), "column out of bounds")
    unsafe logits[row * stride + column] += value
  }

  /// The logits of row `row`, to be added to.
  public func logits(_ row: Int) -> UnsafeMutableBufferPointer<Float> {
    precondition(row >= 0 && row < queries.count, "row out of bounds")
    return unsafe UnsafeMutableBufferPointer(start: logits + row * stride, count: keys.count)
  }

  /// The number of columns that row `row` sees, where keys after their query are masked.
  public func visible(_ row: Int) -> Int {
    isCausal
      ? max(0, min(keys.count, queries.lowerBound + row + 1 - keys.lowerBound)) : keys.count
  }
}
