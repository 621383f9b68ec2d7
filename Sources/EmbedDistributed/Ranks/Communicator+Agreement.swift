// Small values from every rank to every rank, and what they are for: that all ranks agree before data moves,
// and that a fault of one is thrown by all.

internal import EmbedKernel

extension Communicator {
  /// Gives each rank a value and takes each rank's, in the order of ranks. Allocates both lists.
  package func exchange<Value: BitwiseCopyable>(
    _ values: [Value], _ operation: String
  ) throws(DistributedError) -> [Value] {
    var received = values
    var target = received.mutableSpan
    let source = values.span
    let pieces = Exchange(ranks: size)
    let stride = MemoryLayout<Value>.stride
    try unsafe source.withUnsafeBytes { (values) throws(DistributedError) in
      try unsafe target.withUnsafeMutableBytes { (received) throws(DistributedError) in
        for peer in 0..<size {
          unsafe pieces.send(
            values.baseAddress.unsafelyUnwrapped + peer * stride, bytes: stride, to: peer)
          unsafe pieces.receive(
            received.baseAddress.unsafelyUnwrapped + peer * stride, bytes: stride, from: peer)
        }
        try run(pieces, operation)
      }
    }
    return received
  }

  /// Every rank's value, in the order of ranks.
  package func gather<Value: BitwiseCopyable>(
    _ value: Value, _ operation: String
  ) throws(DistributedError) -> [Value] {
    try exchange([Value](repeating: value, count: size), operation)
  }

  /// Every rank's text, in the order of ranks.
  public func gather(_ text: String) throws(DistributedError) -> [String] {
    try gather(bytes: Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Every rank's bytes, in the order of ranks; ranks may give different numbers.
  public func gather(bytes: [UInt8]) throws(DistributedError) -> [[UInt8]] {
    let counts = try gather(bytes.count, "gathering of bytes")
    var received = [UInt8](repeating: 0, count: counts.reduce(0, +))
    let pieces = Exchange(ranks: size)
    let source = bytes.span
    var target = received.mutableSpan
    try unsafe source.withUnsafeBytes { (bytes) throws(DistributedError) in
      try unsafe target.withUnsafeMutableBytes { (received) throws(DistributedError) in
        var start = 0
        for peer in 0..<size {
          unsafe pieces.send(bytes.baseAddress, bytes: bytes.count, to: peer)
          unsafe pieces.receive(
            received.baseAddress.map { unsafe $0 + start }, bytes: counts[peer], from: peer)
          start += counts[peer]
        }
        try run(pieces, "gathering of bytes")
      }
    }
    var start = 0
    return counts.map { count in
      start += count
      return Array(received[start - count..<start])
    }
  }

  /// Checks that all ranks give the same facts: sizes, seeds, check sums of a table or a text.
  ///
  ///     try communicator.agree([("seed", "\(seed)"), ("text", CheckSum.of(file: path))])
  ///
  /// - Throws: `disagreement` on every rank, which names the first fact that differs and each rank's value.
  public func agree(_ facts: [(name: String, value: String)]) throws(DistributedError) {
    // Neither names nor values have line ends after this.
    let lines = facts.flatMap { [$0.name, $0.value] }.map {
      $0.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\\n")
    }
    let text = lines.joined(separator: "\n")
    let sum = CheckSum.of(Array(text.utf8))
    let sums = try gather(SIMD2(UInt64(sum), UInt64(text.utf8.count)), "agreement")
    guard sums.contains(where: { $0 != sums[0] }) else { return }
    let all = try gather(text).map {
      $0.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }
    let names = all.map { lines in
      lines.indices.filter { $0.isMultiple(of: 2) }.map { lines[$0] }
    }
    guard names.allSatisfy({ $0 == names[0] }) else {
      throw .disagreement(fact: "what they do", values: names.map { $0.joined(separator: ", ") })
    }
    for (index, name) in names[0].enumerated() {
      let values = all.map { $0[2 * index + 1] }
      if values.contains(where: { $0 != values[0] }) {
        throw .disagreement(fact: name, values: values)
      }
    }
    throw .disagreement(fact: "what they do", values: sums.map { "\($0)" })
  }

  /// What sums by products, and so their last bits, follow from: another CPU's kernels may sum in another order.
  package static var kernelFacts: [(name: String, value: String)] {
    [
      ("instruction set", (try? InstructionSet.ofProcess)?.rawValue ?? "none"),
      ("OpenBLAS", OpenBLASLibrary.configuration), ("OpenBLAS's core", OpenBLASLibrary.core),
    ]
  }

  /// Does a rank's part of something that all do; where it fails on one, all throw.
  package func together(
    _ operation: String, _ body: () throws -> Void
  ) throws(DistributedError) {
    var fault: (any Error)?
    do { try body() } catch { fault = error }
    try share(fault, operation)
  }

  /// Tells all ranks of this one's fault, if it has one, and throws where one has.
  package func share(_ fault: (any Error)?, _ operation: String) throws(DistributedError) {
    try refuse(fault, try gather(UInt8(fault == nil ? 0 : 1), operation).map { $0 != 0 })
  }

  /// What a rank says before a call's data move.
  private struct Word<Value: BitwiseCopyable>: BitwiseCopyable {
    var value: Value
    var failed: Int
  }

  /// Meets all ranks for a call: gives each rank a value and takes each rank's; throws as `share` where one has a
  /// fault. One exchange, so that a call costs no more than its latency beside its data.
  package func meet<Value: BitwiseCopyable>(
    _ values: [Value], _ fault: (any Error)?, _ operation: String
  ) throws(DistributedError) -> [Value] {
    let words = values.map { Word(value: $0, failed: fault == nil ? 0 : 1) }
    let met = try exchange(words, operation)
    try refuse(fault, met.map { $0.failed != 0 })
    return met.map(\.value)
  }

  /// Throws this rank's fault, or the first other's, if there is any.
  private func refuse(_ fault: (any Error)?, _ faults: [Bool]) throws(DistributedError) {
    guard faults.contains(true) else { return }
    let texts = try gather(fault.map { "\($0)" } ?? "")
    switch fault {
    case let error as EmbedError: throw .invalid(error)
    case let error as DistributedError: throw error
    case let error?: throw .file(reason: "\(error)")
    case nil: break
    }
    let rank = faults.firstIndex(of: true) ?? 0
    throw .refused(rank: rank, reason: texts[rank])
  }
}

/// Check sums, CRC-32, by which ranks find that they work on different things.
public enum CheckSum {
  /// Of elements in memory.
  public static func of<Element: BitwiseCopyable>(_ elements: [Element]) -> UInt32 {
    unsafe elements.withUnsafeBytes { unsafe ZipChecks.checkSum($0) }
  }

  /// Of elements in memory.
  public static func of<Element: BitwiseCopyable>(_ elements: Span<Element>) -> UInt32 {
    unsafe elements.withUnsafeBytes { unsafe ZipChecks.checkSum($0) }
  }

  /// Of a file's bytes, read in blocks of 1 MiB.
  ///
  /// - Throws: `file` where it cannot be read.
  public static func of(file path: String) throws(DistributedError) -> UInt32 {
    do throws(FileError) {
      let file = try InputFile(path)
      var sum: UInt32 = 0
      var offset = 0
      while offset < file.byteCount {
        let bytes = try file.bytes(at: offset, count: 1 << 20)
        guard !bytes.isEmpty else { break }
        sum = unsafe bytes.withUnsafeBytes { unsafe ZipChecks.checkSum($0, from: sum) }
        offset += bytes.count
      }
      return sum
    } catch {
      throw .file(reason: error.description)
    }
  }

  /// Of the running program's file, where the system tells which that is.
  static let ofProgram: String = {
    do throws(DistributedError) {
      return "\(try of(file: "/proc/self/exe"))"
    } catch {
      return "unknown"
    }
  }()
}
