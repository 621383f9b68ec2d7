// Tables behind handles: of this library's memory or of the caller's.

internal import CEmbedKernel
internal import EmbedKernel

/// A table of any of the three element types.
final class TableObject: Handled {
  static let kind: UInt32 = 1

  enum Table {
    case float(EmbeddingTable<Float>)
    case half(EmbeddingTable<Half>)
    case bfloat16(EmbeddingTable<BFloat16>)
  }

  let table: Table
  /// Whether the memory is the caller's.
  let isBorrowed: Bool

  init(_ table: Table, isBorrowed: Bool = false) {
    self.table = table
    self.isBorrowed = isBorrowed
  }

  var rows: Int {
    switch table {
    case .float(let table): table.rows
    case .half(let table): table.rows
    case .bfloat16(let table): table.rows
    }
  }

  var dim: Int {
    switch table {
    case .float(let table): table.dim
    case .half(let table): table.dim
    case .bfloat16(let table): table.dim
    }
  }

  var type: ElementType {
    switch table {
    case .float: .float32
    case .half: .float16
    case .bfloat16: .bfloat16
    }
  }

  var memory: UnsafeMutableRawPointer? {
    switch table {
    case .float(let table): unsafe UnsafeMutableRawPointer(table.memory.baseAddress)
    case .half(let table): unsafe UnsafeMutableRawPointer(table.memory.baseAddress)
    case .bfloat16(let table): unsafe UnsafeMutableRawPointer(table.memory.baseAddress)
    }
  }

  /// The table, which must be of floats.
  func floats(_ name: StaticString) throws -> EmbeddingTable<Float> {
    guard case .float(let table) = table else {
      throw EmbedError.unsupported(
        argument: "type of \(name)", value: type.rawValue, expected: ElementType.float32.rawValue)
    }
    return table
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_table_create(
  _ rows: Int64, _ dim: Int64, _ dtype: Int32, _ table: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: table, "table")
    let (rows, dim) = (Int(rows), Int(dim))
    let made: TableObject.Table
    switch try elementType(dtype, "dtype") {
    case .float32: made = .float(try EmbeddingTable(rows: rows, dim: dim))
    case .float16: made = .half(try EmbeddingTable(rows: rows, dim: dim))
    case .bfloat16: made = .bfloat16(try EmbeddingTable(rows: rows, dim: dim))
    }
    unsafe place.pointee = try makeHandle(TableObject(made))
  }
}

/// Memory of the caller's that is told when nothing uses it any more; only once the table is his.
@safe final class ReleaseCallback: @unchecked Sendable {
  let function: @convention(c) (UnsafeMutableRawPointer?) -> Void
  let context: UnsafeMutableRawPointer?
  var isDue = false

  init(
    _ function: @convention(c) (UnsafeMutableRawPointer?) -> Void,
    _ context: UnsafeMutableRawPointer?
  ) {
    unsafe self.function = function
    unsafe self.context = context
  }

  func run() { if isDue { unsafe function(context) } }
}

private func borrowed(
  _ data: UnsafeMutableRawPointer?, rows: Int, dim: Int, _ dtype: Int32, _ told: ReleaseCallback?
) throws -> TableObject.Table {
  let owner = BorrowedMemory { told?.run() }
  let count = try product("table", rows, dim)
  func borrow<Element>(_ type: Element.Type) throws -> EmbeddingTable<Element> {
    try unsafe EmbeddingTable(
      rows: rows, dim: dim,
      borrowing: writable(data?.assumingMemoryBound(to: type), count, "data"), of: owner)
  }
  return switch try elementType(dtype, "dtype") {
  case .float32: .float(try borrow(Float.self))
  case .float16: .half(try borrow(Half.self))
  case .bfloat16: .bfloat16(try borrow(BFloat16.self))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_table_borrow(
  _ data: UnsafeMutableRawPointer?, _ rows: Int64, _ dim: Int64, _ dtype: Int32,
  _ release: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?,
  _ context: UnsafeMutableRawPointer?, _ table: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: table, "table")
    let told = unsafe release.map { unsafe ReleaseCallback($0, context) }
    let made = try unsafe borrowed(data, rows: Int(rows), dim: Int(dim), dtype, told)
    unsafe place.pointee = try makeHandle(TableObject(made, isBorrowed: true))
    told?.isDue = true
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_table_get(
  _ table: OpaquePointer?, _ data: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
  _ rows: UnsafeMutablePointer<Int64>?, _ dim: UnsafeMutablePointer<Int64>?,
  _ dtype: UnsafeMutablePointer<Int32>?
) -> Int32 {
  attempt {
    let table: TableObject = try unsafe object(table, "table")
    if unsafe data != nil { try unsafe place(of: data, "data").pointee = table.memory }
    if unsafe rows != nil { try unsafe place(of: rows, "rows").pointee = Int64(table.rows) }
    if unsafe dim != nil { try unsafe place(of: dim, "dim").pointee = Int64(table.dim) }
    if unsafe dtype != nil { try unsafe place(of: dtype, "dtype").pointee = table.type.code }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_table_synchronise(
  _ table: OpaquePointer?, _ ids: UnsafeRawPointer?, _ idType: Int32, _ count: Int64
) -> Int32 {
  attempt {
    let table: TableObject = try unsafe object(table, "table")
    guard let ids = unsafe ids else {
      switch table.table {
      case .float(let table): _ = unsafe table.unsafeBuffer
      case .half(let table): _ = unsafe table.unsafeBuffer
      case .bfloat16(let table): _ = unsafe table.unsafeBuffer
      }
      return
    }
    let list = try unsafe tokenIDs(ids, idType, EmbedKernelABI.count(count, "count"), "ids")
    try checkRows(list, below: table.rows)
    switch table.table {
    case .float(let table): _ = unsafe table.memory(reading: list)
    case .half(let table): _ = unsafe table.memory(reading: list)
    case .bfloat16(let table): _ = unsafe table.memory(reading: list)
    }
  }
}

/// Checks that ids in a list are rows of a table.
func checkRows(_ ids: TokenIDs, below rows: Int) throws {
  if !ids.areAll(below: rows), let error = ids.firstOutside(rows, context: max(1, ids.count)) {
    throw error
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_table_draw(_ table: OpaquePointer?, _ how: Int32, _ a: Double, _ seed: UInt64)
  -> Int32
{
  attempt {
    let object: TableObject = try unsafe object(table, "table")
    let table = try object.floats("table")
    let initialization: Initialization
    switch Int(how) {
    case EK_DRAW_ZEROS: initialization = .zeros
    case EK_DRAW_NORMAL: initialization = .normal(sigma: Float(a))
    case EK_DRAW_UNIFORM: initialization = .uniform(low: -Float(a), high: Float(a))
    case EK_DRAW_XAVIER:
      let bound = Float((6 / Double(table.rows + table.dim)).squareRoot())
      initialization = .uniform(low: -bound, high: bound)
    default:
      throw CallError.option("how", value: Int(how), expected: "one of EK_DRAW_...")
    }
    try unsafe initialization.fill(table.unsafeBuffer, seed: seed, stream: 0)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_table_destroy(_ table: OpaquePointer?) { unsafe destroy(table, TableObject.self) }

// MARK: Norms of rows

/// Documented in embedkernel.h.
@c @implementation
public func ek_renormalize_rows(
  _ table: UnsafeMutableRawPointer?, _ dtype: Int32, _ vocabulary: Int64, _ dim: Int64,
  _ ids: UnsafeRawPointer?, _ idType: Int32, _ count: Int64, _ maximum: Double, _ order: Double,
  _ changed: UnsafeMutablePointer<Int64>?
) -> Int32 {
  attempt {
    let type = try elementType(dtype, "dtype")
    let (vocabulary, dim) = (Int(vocabulary), Int(dim))
    let elements = try unsafe elements(
      UnsafeRawPointer(table), type, product("table", vocabulary, dim), "table")
    guard dim > 0 else {
      throw EmbedError.invalidSize(argument: "dim", value: dim, expected: "1 or more")
    }
    let list = try unsafe tokenIDs(ids, idType, EmbedKernelABI.count(count, "count"), "ids")
    guard maximum >= 0, maximum.isFinite else {
      throw EmbedError.invalidValue(
        argument: "maximum norm", value: maximum, expected: "a finite number, 0 or more")
    }
    let norm: NormOrder =
      order == 1 ? .one : order == 2 ? .two : order == .infinity ? .infinity : .power(order)
    try norm.check()
    if unsafe changed != nil { try unsafe place(of: changed, "changed").pointee = 0 }
    guard list.count > 0 else { return }

    let workspace = try KeptWorkspace()
    try workspace.value.backward.tokens.group(
      list, context: list.count, vocabulary: vocabulary, paddingID: nil, unknownIDs: .error,
      threads: kernels(0, 0).threads)
    guard elements.count > 0, let table = unsafe table else { return }
    let rows = workspace.value.backward.tokens.unsafeView
    var scaled = 0
    func scale<Element: StoredAsFloat>(_ memory: UnsafeMutablePointer<Element>) throws {
      let row = try AlignedBuffer<Float>(count: dim)
      let floats = unsafe row.unsafeBuffer.baseAddress.unsafelyUnwrapped
      for k in 0..<rows.count {
        let values = unsafe memory + Int(rows.rowIDs[k]) &* dim
        for i in 0..<dim { unsafe floats[i] = values[i].asFloat }
        let length = unsafe norm.root(norm.sum(floats, dim))
        guard length > maximum else { continue }
        let factor = Float(maximum / (length + 1e-7))
        for i in 0..<dim { unsafe values[i] = Element(rounding: floats[i] * factor) }
        scaled += 1
      }
    }
    switch type {
    case .float32: try unsafe scale(table.assumingMemoryBound(to: Float.self))
    case .float16: try unsafe scale(table.assumingMemoryBound(to: Half.self))
    case .bfloat16: try unsafe scale(table.assumingMemoryBound(to: BFloat16.self))
    }
    if let changed = unsafe changed { unsafe changed.pointee = Int64(scaled) }
  }
}

/// An element with the float that it stands for.
private protocol StoredAsFloat: TableElement {
  var asFloat: Float { get }
  init(rounding value: Float)
}

extension Float: StoredAsFloat {
  fileprivate var asFloat: Float { self }
  fileprivate init(rounding value: Float) { self = value }
}

extension Half: StoredAsFloat {
  fileprivate var asFloat: Float { float }
  fileprivate init(rounding value: Float) { self.init(value) }
}

extension BFloat16: StoredAsFloat {
  fileprivate var asFloat: Float { float }
  fileprivate init(rounding value: Float) { self.init(value) }
}
