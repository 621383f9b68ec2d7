// Tokenizers, token files and windows behind handles.

public import CEmbedKernel
internal import EmbedData
internal import EmbedKernel

/// A tokenizer, which any number of threads may use at once.
final class TokenizerObject: Handled {
  static let kind: UInt32 = 9

  let tokenizer: any Tokenizer
  init(_ tokenizer: any Tokenizer) { self.tokenizer = tokenizer }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_tokenizer_open(
  _ path: UnsafePointer<CChar>?, _ tokenizer: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: tokenizer, "tokenizer")
    guard let path = unsafe path else {
      unsafe place.pointee = try makeHandle(TokenizerObject(ByteTokenizer()))
      return
    }
    let opened = try BytePairTokenizer(vocabulary: unsafe text(path, "path"))
    unsafe place.pointee = try makeHandle(TokenizerObject(opened))
  }
}

/// Copies what a call made, or says how much room it needs.
private func give<Element>(
  _ made: [Element], _ memory: UnsafeMutablePointer<Element>?, _ capacity: Int,
  _ name: StaticString
) throws {
  let room = unsafe memory == nil ? 0 : capacity
  guard made.count <= room else {
    throw CallError.room("\(name)", needed: made.count, capacity: room)
  }
  _ = try unsafe writable(memory, made.count, name).update(fromContentsOf: made)
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_tokenizer_encode(
  _ tokenizer: OpaquePointer?, _ text: UnsafePointer<CChar>?, _ length: Int, _ special: Int32,
  _ ids: UnsafeMutablePointer<Int32>?, _ capacity: Int64, _ count: UnsafeMutablePointer<Int64>?
) -> Int32 {
  unsafe ek_tokenizer_encode_threads(tokenizer, text, length, special, 1, ids, capacity, count)
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_tokenizer_encode_threads(
  _ tokenizer: OpaquePointer?, _ text: UnsafePointer<CChar>?, _ length: Int, _ special: Int32,
  _ threads: Int32, _ ids: UnsafeMutablePointer<Int32>?, _ capacity: Int64,
  _ count: UnsafeMutablePointer<Int64>?
) -> Int32 {
  attempt {
    let found: TokenizerObject = try unsafe object(tokenizer, "tokenizer")
    let place = try unsafe place(of: count, "count")
    let length = try EmbedKernelABI.count(Int64(length), "length")
    let bytes = try unsafe readable(
      UnsafeRawPointer(text)?.assumingMemoryBound(to: UInt8.self), length, "text")
    let room = try EmbedKernelABI.count(capacity, "capacity")
    let special: SpecialText = try choice(
      special, .ordinary, .recognised, .refused, name: "special")
    let threads = try kernels(Int32(EK_BACKEND_AUTO), threads).threads
    let held = unsafe ids == nil ? 0 : room
    var target = try unsafe MutableSpan(_unsafeElements: writable(ids, held, "ids"))
    let needed = try found.tokenizer.encode(
      unsafe Span(_unsafeElements: bytes), special: special, threads: threads, into: &target)
    unsafe place.pointee = Int64(needed)
    guard needed <= held else { throw CallError.room("ids", needed: needed, capacity: held) }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_tokenizer_decode(
  _ tokenizer: OpaquePointer?, _ ids: UnsafeRawPointer?, _ idType: Int32, _ count: Int64,
  _ text: UnsafeMutablePointer<CChar>?, _ capacity: Int, _ length: UnsafeMutablePointer<Int>?
) -> Int32 {
  attempt {
    let found: TokenizerObject = try unsafe object(tokenizer, "tokenizer")
    let place = try unsafe place(of: length, "length")
    let given = try unsafe tokenIDs(ids, idType, EmbedKernelABI.count(count, "count"), "ids")
    let list = try narrow(given, found.tokenizer.vocabularySize)
    var bytes: [UInt8] = []
    try found.tokenizer.decode(list.span, into: &bytes)
    unsafe place.pointee = bytes.count
    let memory = unsafe UnsafeMutableRawPointer(text)?.assumingMemoryBound(to: UInt8.self)
    try unsafe give(bytes, memory, max(capacity, 0), "text")
  }
}

/// Ids of 32 bits.
private func narrow(_ ids: TokenIDs, _ vocabulary: Int) throws -> [Int32] {
  var list = try SystemMemory.array(Int32(0), count: ids.count)
  for i in 0..<ids.count {
    guard let id = Int32(exactly: ids[i]) else {
      throw EmbedError.tokenOutOfRange(
        id: Int64(ids[i]), batchRow: 0, position: i, vocabulary: vocabulary)
    }
    list[i] = id
  }
  return list
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_tokenizer_vocabulary(
  _ tokenizer: OpaquePointer?, _ size: UnsafeMutablePointer<Int64>?
) -> Int32 {
  attempt {
    let found: TokenizerObject = try unsafe object(tokenizer, "tokenizer")
    try unsafe place(of: size, "size").pointee = Int64(found.tokenizer.vocabularySize)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_tokenizer_special(
  _ tokenizer: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ id: UnsafeMutablePointer<Int32>?
) -> Int32 {
  attempt {
    let found: TokenizerObject = try unsafe object(tokenizer, "tokenizer")
    let place = try unsafe place(of: id, "id")
    unsafe place.pointee = found.tokenizer.specialTokens[try text(name, "name")] ?? -1
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_tokenizer_destroy(_ tokenizer: OpaquePointer?) {
  unsafe destroy(tokenizer, TokenizerObject.self)
}

// MARK: Windows

/// Windows, which any number of threads may read at once.
final class WindowsObject: Handled {
  static let kind: UInt32 = 10

  let loader: WindowLoader
  init(_ loader: WindowLoader) { self.loader = loader }
}

private struct WindowChoices {
  let context: Int
  let stride: Int?
  let batch: Int
  let last: LastBatch
  let order: WindowOrder

  init(_ options: UnsafePointer<ek_windows_options>?) throws {
    let given = try unsafe required(options, "options")
    context = Int(given.context)
    stride = given.stride == 0 ? nil : Int(given.stride)
    batch = Int(given.batch)
    last = try choice(given.keeps_last, .dropped, .kept, name: "keeps_last")
    order = try choice(
      given.shuffled, .sequential, .shuffled(seed: given.seed, epoch: given.epoch),
      name: "shuffled")
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_windows_over_ids(
  _ ids: UnsafeRawPointer?, _ idType: Int32, _ count: Int64,
  _ options: UnsafePointer<ek_windows_options>?, _ windows: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: windows, "windows")
    let choices = try unsafe WindowChoices(options)
    let given = try unsafe tokenIDs(ids, idType, EmbedKernelABI.count(count, "count"), "ids")
    let loader = try WindowLoader(
      tokens: narrow(given, Int(Int32.max)), context: choices.context, stride: choices.stride,
      batchSize: choices.batch, lastBatch: choices.last, order: choices.order)
    unsafe place.pointee = try makeHandle(WindowsObject(loader))
  }
}

private func width(_ bytes: Int32) throws -> TokenWidth {
  switch bytes {
  case 2: return .uint16
  case 4: return .uint32
  default: throw CallError.option("width", value: Int(bytes), expected: "2 or 4 bytes")
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_windows_over_file(
  _ path: UnsafePointer<CChar>?, _ width: Int32, _ options: UnsafePointer<ek_windows_options>?,
  _ windows: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: windows, "windows")
    let choices = try unsafe WindowChoices(options)
    let file = try TokenFile(
      path: unsafe text(path, "path"), width: EmbedKernelABI.width(width))
    let loader = try WindowLoader(
      file: file, context: choices.context, stride: choices.stride, batchSize: choices.batch,
      lastBatch: choices.last, order: choices.order)
    unsafe place.pointee = try makeHandle(WindowsObject(loader))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_windows_count(
  _ windows: OpaquePointer?, _ batches: UnsafeMutablePointer<Int64>?,
  _ held: UnsafeMutablePointer<Int64>?
) -> Int32 {
  attempt {
    let found: WindowsObject = try unsafe object(windows, "windows")
    if unsafe batches != nil {
      try unsafe place(of: batches, "batches").pointee = Int64(found.loader.batchCount)
    }
    if unsafe held != nil {
      try unsafe place(of: held, "windows_held").pointee = Int64(found.loader.windowCount)
    }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_windows_fill(
  _ windows: OpaquePointer?, _ index: Int64, _ inputs: UnsafeMutablePointer<Int32>?,
  _ targets: UnsafeMutablePointer<Int32>?, _ rows: UnsafeMutablePointer<Int64>?
) -> Int32 {
  attempt {
    let found: WindowsObject = try unsafe object(windows, "windows")
    let loader = found.loader
    if unsafe rows != nil { _ = try unsafe place(of: rows, "rows") }
    guard index >= 0, index < loader.batchCount else {
      throw DataError.batchOutOfRange(index: Int(index), count: loader.batchCount)
    }
    let count = loader.rows(inBatch: Int(index)) * loader.context
    let filled = try unsafe loader.fill(
      batch: Int(index), inputs: writable(inputs, count, "inputs"),
      targets: writable(targets, count, "targets"))
    if let rows = unsafe rows { unsafe rows.pointee = Int64(filled) }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_windows_destroy(_ windows: OpaquePointer?) {
  unsafe destroy(windows, WindowsObject.self)
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_token_file_write(
  _ path: UnsafePointer<CChar>?, _ ids: UnsafeRawPointer?, _ idType: Int32, _ count: Int64,
  _ width: Int32
) -> Int32 {
  attempt {
    let path = try unsafe text(path, "path")
    let width = try EmbedKernelABI.width(width)
    let given = try unsafe tokenIDs(ids, idType, EmbedKernelABI.count(count, "count"), "ids")
    let writer = try TokenFileWriter(path: path, width: width)
    let list = try narrow(given, Int(Int32.max))
    try writer.append(list.span)
    try writer.finish()
  }
}
