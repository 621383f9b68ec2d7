// Tables of rows in any format, behind handles: quantised, or wrapped where they lie, and read by embedding,
// bags and decoding.
//
// B bags or batch, N ids, V vocabulary, D dim.

public import CEmbedKernel
internal import EmbedKernel
internal import EmbedRows

/// A table that is read only, which any number of threads may use at once.
final class RowTableObject: Handled {
  static let kind: UInt32 = 11

  let table: RowTable
  init(_ table: RowTable) { self.table = table }
}

/// The formats by the numbers that C has for them.
private let formats: [(code: Int, format: RowFormat)] = [
  (EK_FORMAT_F32, .float32), (EK_FORMAT_F16, .float16), (EK_FORMAT_BF16, .bfloat16),
  (EK_FORMAT_INT8, .int8), (EK_FORMAT_INT8_F16, .int8Half), (EK_FORMAT_FP8, .fp8),
  (EK_FORMAT_FP8_ROW, .fp8Row), (EK_FORMAT_FP8_BLOCK32, .fp8Block32),
  (EK_FORMAT_FP8_BLOCK128, .fp8Block128), (EK_FORMAT_FP8_BLOCK128_F32, .fp8Block128Float),
  (EK_FORMAT_FBGEMM8, .fbgemm8), (EK_FORMAT_FBGEMM4, .fbgemm4), (EK_FORMAT_Q8_0, .q8_0),
  (EK_FORMAT_Q4_0, .q4_0), (EK_FORMAT_Q4_K, .q4_K), (EK_FORMAT_Q6_K, .q6_K),
]

private func format(_ number: Int32) throws -> RowFormat {
  guard let found = formats.first(where: { $0.code == Int(number) }) else {
    throw CallError.option("format", value: Int(number), expected: "one of EK_FORMAT_...")
  }
  return found.format
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rows_format_named(
  _ name: UnsafePointer<CChar>?, _ format: UnsafeMutablePointer<Int32>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: format, "format")
    let name = try unsafe text(name, "name")
    guard let found = formats.first(where: { $0.format.rawValue == name }) else {
      throw EmbedError.unsupported(
        argument: "format", value: name,
        expected: formats.map(\.format.rawValue).joined(separator: ", "))
    }
    unsafe place.pointee = Int32(found.code)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rows_format_get(
  _ number: Int32, _ dim: Int64, _ info: UnsafeMutablePointer<ek_rows_format_info>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: info, "info")
    let format = try format(number)
    unsafe place.pointee = ek_rows_format_info(
      block: Int64(format.block), row_bytes: Int64(try format.rowBytes(dim: Int(dim))),
      scale_bytes: Int64(try format.scaleBytes(dim: Int(dim))))
  }
}

// MARK: Tables

/// Documented in embedkernel.h.
@c @implementation
public func ek_rows_quantize(
  _ elements: UnsafePointer<Float>?, _ rows: Int64, _ dim: Int64, _ number: Int32,
  _ threads: Int32, _ table: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: table, "table")
    let given = try unsafe readable(
      elements, product("elements", Int(rows), Int(dim)), "elements")
    let made = try unsafe RowTable(
      quantizing: given, rows: Int(rows), dim: Int(dim), as: format(number),
      using: kernels(0, threads))
    unsafe place.pointee = try makeHandle(RowTableObject(made))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rows_wrap(
  _ source: UnsafePointer<ek_rows_source>?,
  _ release: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?,
  _ context: UnsafeMutableRawPointer?, _ table: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: table, "table")
    let given = try unsafe required(source, "source")
    let (count, scaleCount) = try unsafe (
      EmbedKernelABI.count(given.byte_count, "byte_count"),
      EmbedKernelABI.count(given.scale_count, "scale_count")
    )
    try unsafe checkAddress(given.bytes, count, mask: 0, "bytes")
    try unsafe checkAddress(given.scales, scaleCount, mask: 0, "scales")
    let told = unsafe release.map { unsafe ReleaseCallback($0, context) }
    let made = try unsafe RowTable(
      rows: Int(given.rows), dim: Int(given.dim), format: format(given.format),
      bytes: UnsafeRawBufferPointer(start: given.bytes, count: count),
      scales: UnsafeRawBufferPointer(
        start: scaleCount == 0 ? nil : given.scales, count: scaleCount),
      rowsAScale: given.rows_a_scale == 0 ? 1 : Int(given.rows_a_scale),
      of: BorrowedMemory { told?.run() })
    unsafe place.pointee = try makeHandle(RowTableObject(made))
    told?.isDue = true
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rows_map(
  _ path: UnsafePointer<CChar>?, _ tensor: UnsafePointer<CChar>?, _ number: Int32,
  _ scales: UnsafePointer<CChar>?, _ limit: Int64, _ table: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: table, "table")
    let made = try unsafe RowTable(
      mapping: text(path, "path"), tensor: text(tensor, "tensor"),
      format: number == Int32(EK_FORMAT_OF_TENSOR) ? nil : format(number),
      scales: scales == nil ? nil : text(scales, "scales"),
      residentLimit: limit == 0 ? nil : Int(limit))
    unsafe place.pointee = try makeHandle(RowTableObject(made))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rows_prefetch(
  _ table: OpaquePointer?, _ ids: UnsafeRawPointer?, _ idType: Int32, _ idCount: Int64,
  _ unknown: Int32, _ stage: Int32, _ prefetched: UnsafeMutablePointer<Int64>?
) -> Int32 {
  attempt {
    let found: RowTableObject = try unsafe object(table, "table")
    let ids = try unsafe tokenIDs(ids, idType, count(idCount, "id_count"), "ids")
    let stages: [PrefetchStage] = [.finished, .started]
    guard stages.indices.contains(Int(stage)) else {
      throw CallError.option("stage", value: Int(stage), expected: "one of EK_PREFETCH_...")
    }
    let done = try found.table.prefetch(ids, unknownIDs(unknown), stages[Int(stage)])
    if let prefetched = unsafe prefetched {
      try unsafe EmbedKernelABI.place(of: prefetched, "prefetched").pointee = Int64(done)
    }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rows_get(
  _ table: OpaquePointer?, _ source: UnsafeMutablePointer<ek_rows_source>?
) -> Int32 {
  attempt {
    let found: RowTableObject = try unsafe object(table, "table")
    let place = try unsafe place(of: source, "source")
    let table = found.table
    let bytes = unsafe table.rowBytes.withUnsafeBufferPointer { $0.baseAddress }
    let scales = unsafe table.scaleBytes.withUnsafeBufferPointer { $0.baseAddress }
    let scaleCount = table.scaleBytes.count
    unsafe place.pointee = ek_rows_source(
      struct_size: MemoryLayout<ek_rows_source>.stride, bytes: bytes,
      byte_count: Int64(table.rowBytes.count), scales: scaleCount == 0 ? nil : scales,
      scale_count: Int64(scaleCount), rows: Int64(table.rows), dim: Int64(table.dim),
      rows_a_scale: Int64(try rowsAScale(table)),
      format: Int32(formats.first { $0.format == table.format }?.code ?? -1), reserved: 0)
  }
}

/// How many rows share a row of scales, which their number tells; 0 where there are none.
private func rowsAScale(_ table: RowTable) throws -> Int {
  let bytes = try table.format.scaleBytes(dim: table.dim)
  guard bytes > 0 else { return 0 }
  let count = table.scaleBytes.count / bytes
  guard count > 1 else { return table.rows }
  var shared = 1
  while (table.rows - 1) / shared + 1 > count { shared *= 2 }
  return shared
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rows_decode(
  _ table: OpaquePointer?, _ first: Int64, _ count: Int64,
  _ output: UnsafeMutablePointer<Float>?, _ threads: Int32
) -> Int32 {
  attempt {
    let found: RowTableObject = try unsafe object(table, "table")
    let (first, rows) = (Int(first), found.table.rows)
    guard first >= 0, first <= rows, count <= rows - first else {
      throw CallError.index("row", value: first < 0 ? first : max(first, rows), count: rows)
    }
    let count = try EmbedKernelABI.count(count, "count")
    var output = try unsafe writable(
      output, product("output", count, found.table.dim), "output")
    try unsafe found.table.decode(
      first..<first + count, into: &output, using: kernels(0, threads))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rows_destroy(_ table: OpaquePointer?) { unsafe destroy(table, RowTableObject.self) }

// MARK: Reading

/// Documented in embedkernel.h.
@c @implementation
public func ek_rows_embed(
  _ ids: UnsafeRawPointer?, _ idType: Int32, _ batch: Int64, _ context: Int64,
  _ tokens: OpaquePointer?, _ positions: UnsafeRawPointer?, _ positionType: Int32,
  _ maximum: Int64, _ output: UnsafeMutableRawPointer?, _ outputType: Int32,
  _ options: UnsafePointer<ek_embed_options>?
) -> Int32 {
  attempt {
    let found: RowTableObject = try unsafe object(tokens, "tokens")
    let table = found.table
    let shape = EmbeddingShape(
      vocabulary: table.rows, batch: Int(batch), context: Int(context), dim: table.dim)
    let ids = try unsafe tokenIDs(ids, idType, product("ids", shape.batch, shape.context), "ids")
    let written = try elementType(outputType, "output_dtype")
    let output = try unsafe elements(
      UnsafeRawPointer(output), written,
      product("output", shape.batch, shape.context, shape.dim), "output")
    let rows = try unsafe positionRows(
      positions, positions == nil ? .float32 : elementType(positionType, "position_dtype"), maximum,
      shape.dim)
    guard unsafe options != nil else {
      return try kernels(0, 0).embed(
        ids, table, rows, shape, .sequential(), EmbedOptions(), output)
    }
    let given = try unsafe required(options, "options")
    try unsafe checkReserved(given.reserved)
    let choices = try unsafe EmbedOptions(
      scale: given.scale, unknownIDs: unknownIDs(given.unknown_ids),
      positionOverflow: positionOverflow(given.position_overflow))
    try unsafe kernels(given.backend, given.threads).embed(
      ids, table, rows, shape,
      positionIDs(given.place, batch: shape.batch, context: shape.context), choices, output)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rows_bag(
  _ ids: UnsafeRawPointer?, _ idType: Int32, _ idCount: Int64,
  _ layout: UnsafePointer<ek_bag_layout>?, _ tokens: OpaquePointer?,
  _ output: UnsafeMutableRawPointer?, _ outputType: Int32, _ winners: UnsafeMutablePointer<Int32>?,
  _ options: UnsafePointer<ek_bag_options>?
) -> Int32 {
  attempt {
    let found: RowTableObject = try unsafe object(tokens, "tokens")
    let arguments = try unsafe BagArguments(ids, idType, idCount, options)
    var count = 0
    let bags = try unsafe bagsOf(layout, count: &count)
    let size = try product("output", count, found.table.dim)
    let output = try unsafe elements(
      UnsafeRawPointer(output), elementType(outputType, "output_dtype"), size, "output")
    let won = try unsafe winners.map { unsafe try writable($0, size, "winners") }
    try unsafe arguments.checkWinners(won != nil)
    try unsafe arguments.kernels.bag(arguments.input, bags, found.table, output, won)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rows_bag_weight_gradient(
  _ outputGradient: UnsafePointer<Float>?, _ ids: UnsafeRawPointer?, _ idType: Int32,
  _ idCount: Int64, _ layout: UnsafePointer<ek_bag_layout>?, _ tokens: OpaquePointer?,
  _ weightGradient: UnsafeMutablePointer<Float>?, _ options: UnsafePointer<ek_bag_options>?
) -> Int32 {
  attempt {
    let found: RowTableObject = try unsafe object(tokens, "tokens")
    let arguments = try unsafe BagArguments(ids, idType, idCount, options)
    var count = 0
    let bags = try unsafe bagsOf(layout, count: &count)
    let gradient = try unsafe readable(
      outputGradient, product("output gradient", count, found.table.dim), "output_gradient")
    let output = try unsafe writable(
      weightGradient, arguments.input.ids.count, "weight_gradient")
    try unsafe arguments.kernels.bagWeightGradient(
      gradient, arguments.input, bags, found.table, output)
  }
}
