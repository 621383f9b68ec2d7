// How the ids of a call fall into bags: where each starts, how many each has, or equally many in each.
// The numbers stay the caller's; a call checks them before it writes anything.

internal import CKernels
public import EmbedKernel

/// How ids fall into bags, one after another. Bags may be empty.
///
/// It lives as long as the access to the numbers that it is made of.
@safe public struct Bags: ~Copyable, ~Escapable {
  enum Form {
    case starts(TokenIDs, LastOffset)
    case lengths(TokenIDs)
    case equal(count: Int, length: Int)
  }

  let form: Form

  @_lifetime(immortal)
  private init(_ form: Form) { self.form = form }

  /// Bag b has the ids from `offsets[b]` on, up to the next bag's.
  ///
  /// - Parameters:
  ///   - offsets: From 0 on, never falling; `Int32`, `Int64` or `Int`.
  ///   - last: Whether the last one is where the last bag ends, which is the number of ids.
  @_lifetime(borrow offsets)
  @inlinable
  public static func offsets<Offsets: ReadableElements & ~Copyable & ~Escapable>(
    _ offsets: borrowing Offsets, last: LastOffset = .omitted
  ) -> Bags where Offsets.Element: TokenID {
    // The value keeps the access to the numbers, so that their memory stays where it is.
    let numbers = unsafe offsets.withElements { unsafe TokenIDs($0) }
    return unsafe _overrideLifetime(Bags(offsets: numbers, last: last), borrowing: offsets)
  }

  /// Bag b has `lengths[b]` ids; together they are all ids.
  ///
  /// - Parameter lengths: 0 or more each; `Int32`, `Int64` or `Int`.
  @_lifetime(borrow lengths)
  @inlinable
  public static func lengths<Lengths: ReadableElements & ~Copyable & ~Escapable>(
    _ lengths: borrowing Lengths
  ) -> Bags where Lengths.Element: TokenID {
    let numbers = unsafe lengths.withElements { unsafe TokenIDs($0) }
    return unsafe _overrideLifetime(Bags(lengths: numbers), borrowing: lengths)
  }

  /// The ids are a rectangle `[batch, bag]`: `bag` ids in each. Shorter bags are filled up with the padding
  /// id.
  @_lifetime(immortal)
  public static func rectangle(batch: Int, bag: Int) -> Bags {
    Bags(.equal(count: batch, length: bag))
  }

  /// The same as `offsets`, of numbers that outlive this value.
  @_lifetime(immortal)
  @usableFromInline
  package init(offsets: TokenIDs, last: LastOffset) { self.init(.starts(offsets, last)) }

  /// The same as `lengths`, of numbers that outlive this value.
  @_lifetime(immortal)
  @usableFromInline
  package init(lengths: TokenIDs) { self.init(.lengths(lengths)) }
}

/// What the last of the offsets is.
public enum LastOffset: String, CaseIterable, Sendable {
  /// The last bag's start: it ends with the ids.
  case omitted
  /// The end of the last bag, PyTorch's `include_last_offset`: there is an offset more than bags.
  case included
}

extension Bags {
  /// Checks the numbers against `ids` ids; the bags as the kernels see them, and the longest one's length.
  ///
  /// - Throws: `invalidSize`, `wrongElementCount`, `sizeOverflow`.
  func check(ids: Int) throws(EmbedError) -> (bags: ek_bags, longest: Int) {
    switch form {
    case .starts(let offsets, let last):
      let longest = try Self.check(offsets, last, ids)
      let count = last == .included ? offsets.count - 1 : offsets.count
      return (ek_bags(EK_BAG_STARTS, offsets, count: count, ids: ids), longest)
    case .lengths(let lengths):
      let longest = try Self.check(lengths, ids)
      return (ek_bags(EK_BAG_LENGTHS, lengths, count: lengths.count, ids: ids), longest)
    case .equal(let count, let length):
      for (name, value) in [("batch", count), ("bag", length)] where value < 0 {
        throw .invalidSize(argument: name, value: value, expected: "0 or more")
      }
      let expected = try elementCount("ids", count, length)
      guard ids == expected else {
        throw .wrongElementCount(
          argument: "ids", expected: expected, shape: [count, length], actual: ids)
      }
      // No bag has ids of a length that could be any number.
      let longest = count == 0 ? 0 : length
      let bags = unsafe ek_bags(
        numbers: nil, count: count, ids: ids, length: longest, form: EK_BAG_EQUAL, number_bytes: 8)
      return (bags, longest)
    }
  }

  private static func check(
    _ offsets: TokenIDs, _ last: LastOffset, _ ids: Int
  ) throws(EmbedError) -> Int {
    guard let end = offsets.count > 0 ? offsets[offsets.count - 1] : nil else {
      guard last == .omitted else {
        throw .wrongElementCount(argument: "offsets", expected: 1, shape: [1], actual: 0)
      }
      guard ids == 0 else {
        throw .wrongElementCount(argument: "ids", expected: 0, shape: [0], actual: ids)
      }
      return 0
    }
    // Without a branch: negative where any number is, or falls, or is past the ids.
    var (longest, before, signs) = (0, 0, 0)
    for b in 0..<offsets.count {
      let start = offsets[b]
      let length = start &- before
      signs |= start | length | (ids &- start)
      longest = max(longest, length)
      before = start
    }
    guard signs >= 0, offsets[0] == 0 else { throw firstWrong(offsets: offsets, ids) }
    guard last == .omitted || end == ids else {
      throw .invalidSize(
        argument: "offset \(offsets.count - 1)", value: end,
        expected: "\(ids), the number of ids, as the last offset")
    }
    return max(longest, ids - end)
  }

  private static func check(_ lengths: TokenIDs, _ ids: Int) throws(EmbedError) -> Int {
    var (longest, sum, signs) = (0, 0, 0)
    for b in 0..<lengths.count {
      let length = lengths[b]
      sum &+= length
      signs |= length | sum | (ids &- sum)
      longest = max(longest, length)
    }
    guard signs >= 0 else { throw firstWrong(lengths: lengths, ids) }
    guard sum == ids else {
      throw .wrongElementCount(
        argument: "ids", expected: sum, shape: [sum], actual: ids)
    }
    return longest
  }

  /// The error that names the first offset that is not one of `ids` ids'.
  private static func firstWrong(offsets: TokenIDs, _ ids: Int) -> EmbedError {
    var before = 0
    for b in 0..<offsets.count {
      let start = offsets[b]
      guard b > 0 || start == 0 else {
        return .invalidSize(argument: "offset 0", value: start, expected: "0, where the ids start")
      }
      guard start >= before else {
        return .invalidSize(
          argument: "offset \(b)", value: start, expected: "\(before) or more, the offset before")
      }
      guard start <= ids else {
        return .invalidSize(
          argument: "offset \(b)", value: start, expected: "at most \(ids), the number of ids")
      }
      before = start
    }
    return .invalidSize(
      argument: "offsets", value: offsets.count, expected: "numbers that stay during the call")
  }

  /// The error that names the first length that is negative, or more than there are ids.
  private static func firstWrong(lengths: TokenIDs, _ ids: Int) -> EmbedError {
    var sum = 0
    for b in 0..<lengths.count {
      let length = lengths[b]
      guard length >= 0, length <= ids &- sum else {
        return .invalidSize(
          argument: "length \(b)", value: length,
          expected: "0...\(ids - sum), as \(sum) of \(ids) ids are in the bags before")
      }
      sum &+= length
    }
    return .invalidSize(
      argument: "lengths", value: lengths.count, expected: "numbers that stay during the call")
  }

  /// The numbers' memory.
  var memory: Memory {
    switch form {
    case .starts(let numbers, _), .lengths(let numbers): unsafe Memory(numbers.base, numbers.bytes)
    case .equal: unsafe Memory(nil, 0)
    }
  }
}

extension ek_bags {
  fileprivate init(_ form: ek_bag_form, _ numbers: TokenIDs, count: Int, ids: Int) {
    unsafe self.init(
      numbers: numbers.base, count: count, ids: ids, length: 0, form: form,
      number_bytes: numbers.isWide ? 8 : 4)
  }

  /// Where bag `bag` ends, which starts at id `start`.
  @inline(__always)
  func end(_ bag: Int, from start: Int) -> Int {
    unsafe withUnsafePointer(to: self) { unsafe Int(ek_bag_end($0, bag, start)) }
  }

  /// Calls `body` with each bag and its ids.
  @inline(__always)
  func forEach(
    from first: (bag: Int, start: Int) = (0, 0), to last: Int,
    _ body: (_ bag: Int, _ ids: Range<Int>) -> Void
  ) {
    var start = first.start
    for bag in first.bag..<last {
      let end = end(bag, from: start)
      body(bag, start..<end)
      start = end
    }
  }

  /// The bag that id `id` is in, and where it starts; past the last id, the number of bags.
  ///
  /// - Complexity: O(log B), or O(B) for bags that are told by their lengths.
  func bag(of id: Int) -> (bag: Int, start: Int) {
    // Empty bags cost one here, too.
    switch form {
    case EK_BAG_EQUAL: return length == 0 ? (count, ids) : (id / length, id / length * length)
    case EK_BAG_STARTS:
      // The last bag that starts at `id` or before, of which all before it end there.
      guard id < ids else { return (count, ids) }
      let next = (0..<count).partitionPoint { self.start($0) > id }
      return (next - 1, start(next - 1))
    default:
      var (bag, start) = (0, 0)
      while bag < count {
        let end = end(bag, from: start)
        if end > id { break }
        (bag, start) = (bag + 1, end)
      }
      return (bag, start)
    }
  }

  /// The first bag that starts at `cost` or later, where a bag costs one and its ids one each.
  func bag(ofCost cost: Int) -> (bag: Int, start: Int) {
    switch form {
    case EK_BAG_EQUAL:
      let bag = min(count, (cost + length) / (length + 1))
      return (bag, bag * length)
    case EK_BAG_STARTS:
      let bag = (0..<count).partitionPoint { self.start($0) + $0 >= cost }
      return bag == count ? (count, ids) : (bag, start(bag))
    default:
      var (bag, start) = (0, 0)
      while bag < count, start + bag < cost { (bag, start) = (bag + 1, end(bag, from: start)) }
      return (bag, start)
    }
  }

  /// What all bags cost.
  var cost: Int { ids + count }

  private func start(_ bag: Int) -> Int {
    unsafe withUnsafePointer(to: self) { unsafe Int(ek_bag_number($0, bag)) }
  }
}
