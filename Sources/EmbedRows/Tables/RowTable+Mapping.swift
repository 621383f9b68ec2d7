// Tables whose rows are the pages of a model's file, which may be larger than memory.
//
//     let table = try RowTable(mapping: "model", tensor: "wte.weight", residentLimit: 1 << 30)
//     try table.prefetch(ids)

internal import EmbedFiles
public import EmbedKernel
public import EmbedModels

/// A file whose tensor cannot be mapped as a table.
public enum MappedTableError: Error, Equatable, Sendable {
  /// A safetensors file or index is malformed, or lacks the tensor.
  case model(ModelError)
  /// A GGUF file is malformed, or lacks the tensor.
  case gguf(GGUFError)
  /// The tensor's type does not tell how its rows are stored, or tells otherwise.
  case rowFormat(path: String, tensor: String, found: String, expected: String)
  /// The sizes are no table's, or there is no memory for the limit's book-keeping.
  case embed(EmbedError)
}

extension MappedTableError: CustomStringConvertible {
  /// One line naming the path, the tensor, what was expected and what was found.
  public var description: String {
    switch self {
    case .model(let error): error.description
    case .gguf(let error): error.description
    case .rowFormat(let path, let tensor, let found, let expected):
      "'\(path)': tensor \(tensor.inQuotes) is \(found): expected \(expected)"
    case .embed(let error): error.description
    }
  }
}

extension RowTable {
  /// Maps a tensor `[rows, dim]` of a safetensors file, of a sharded model by its index or folder, or of a
  /// GGUF file. Nothing is read before rows are.
  ///
  /// The file must not be written to while the table lives. Where it is, or a page cannot be read, calls on
  /// the table throw `unreadableRow`, that one and all later ones; the process lives on.
  ///
  /// - Parameters:
  ///   - path: Whatever the rows' bytes begin at, they are mapped.
  ///   - format: How rows are stored, where the tensor's type does not tell: of bytes, and of fp8 and int8
  ///     that are `scales`' to tell apart.
  ///   - scales: Of rows with scales beside them: the name of theirs, in the same file.
  ///   - residentLimit: How many bytes of the file may be in memory for this table, 1 MiB or more; nil
  ///     where the system alone decides. What is above it is given back, to the system's page cache too,
  ///     and while calls read at once their rows may exceed it. Takes 1/100 of the limit for its
  ///     book-keeping.
  /// - Throws: `MappedTableError`.
  public convenience init(
    mapping path: String, tensor: String, format: RowFormat? = nil, scales: String? = nil,
    residentLimit: Int? = nil
  ) throws(MappedTableError) {
    let place = try MappedTensor(path, tensor, scales)
    let format = try place.rowFormat(format)
    let access: FileAccess = residentLimit == nil ? .mapped : .mappedInPages
    let memory = try place.map(access)
    do throws(EmbedError) {
      let bytes = place.bytes, scaleBytes = place.scaleBytes ?? 0..<0
      guard place.shape.count == 2 else {
        throw .wrongElementCount(
          argument: "dimensions of tensor \(tensor)", expected: 2, shape: [2],
          actual: place.shape.count)
      }
      let dim = try place.dim(of: format)
      try unsafe self.init(
        rows: place.shape[0], dim: dim, format: format,
        bytes: UnsafeRawBufferPointer(rebasing: memory.memory.bytes[bytes]),
        scales: UnsafeRawBufferPointer(rebasing: memory.memory.bytes[scaleBytes]),
        rowsAScale: place.rowsAScale(format, dim), residentLimit: residentLimit, of: memory)
    } catch {
      throw .embed(error)
    }
    memory.memory.advise(.random)
  }
}

/// Where a tensor lies in its file, with its scales.
private struct MappedTensor {
  let path: String
  let name: String
  let type: String
  let shape: [Int]
  let bytes: Range<Int>
  let scaleBytes: Range<Int>?
  private let scaleType: String?
  /// What the file says of the rows of bytes.
  private let said: String?

  /// Reads headers alone.
  init(_ path: String, _ name: String, _ scales: String?) throws(MappedTableError) {
    self.name = name
    if path.hasSuffix(".gguf") {
      guard scales == nil else {
        throw .rowFormat(
          path: path, tensor: scales ?? "", found: "given as scales",
          expected: "none, as GGUF's rows have theirs within them")
      }
      do throws(GGUFError) {
        let header = try GGUFHeader(contentsOf: path)
        let entry = try header.entry(name, in: path)
        (self.path, type, shape) = (path, entry.type.name, entry.shape)
        bytes = header.dataOffset + entry.start..<header.dataOffset + entry.end
      } catch {
        throw .gguf(error)
      }
      (scaleBytes, scaleType, said) = (nil, nil, nil)
      return
    }
    do throws(ModelError) {
      let file = try SafetensorsModel(contentsOf: path).file(of: name)
      do throws(SafetensorsError) {
        let header = try SafetensorsHeader(contentsOf: file)
        let entry = try header.entry(name, in: file)
        (self.path, type, shape) = (file, entry.type.rawValue, entry.shape)
        bytes = header.dataOffset + entry.start..<header.dataOffset + entry.end
        var found: SafetensorsEntry?
        if let scales { found = try header.entry(scales, in: file) }
        scaleBytes = found.map { header.dataOffset + $0.start..<header.dataOffset + $0.end }
        scaleType = found?.type.rawValue
        said = header.metadata["embedkernel.rows.\(name)"]
      } catch {
        throw ModelError.safetensors(error)
      }
    } catch {
      throw .model(error)
    }
  }

  /// How the rows are stored; nothing is guessed.
  func rowFormat(_ given: RowFormat?) throws(MappedTableError) -> RowFormat {
    let told: RowFormat? =
      switch (type, scaleType) {
      case ("F32", nil): .float32
      case ("F16", nil): .float16
      case ("BF16", nil): .bfloat16
      case ("I8", "F32"), ("I8", "F16"): scaleType == "F16" ? .int8Half : .int8
      case ("U8", _), ("I8", _), ("F8_E4M3", _): nil
      default: RowFormat(rawValue: type.lowercased())
      }
    let bytes = ["U8", "I8", "F8_E4M3"].contains(type)
    guard let found = told ?? given ?? said.flatMap({ RowFormat(rawValue: $0) }),
      given == nil || found == given, said == nil || found.rawValue == said,
      told != nil || bytes
    else {
      throw .rowFormat(
        path: path, tensor: name,
        found:
          "\(type)\(scaleType.map { " with scales of \($0)" } ?? "")\(said.map { ", by the file rows of \($0.inQuotes)" } ?? "")",
        expected: given.map { "rows of \($0.rawValue)" }
          ?? "F32, F16, BF16, GGUF's Q8_0, Q4_0, Q4_K or Q6_K, or that format is given")
    }
    return found
  }

  /// The columns: of rows of bytes that a format packs, those that take as many.
  func dim(of format: RowFormat) throws(EmbedError) -> Int {
    guard type == "U8" else { return shape[1] }
    guard let dim = format.dim(ofRowBytes: shape[1]) else {
      throw .invalidSize(
        argument: "bytes of a row", value: shape[1],
        expected: "those of a row of \(format.rawValue)")
    }
    return dim
  }

  /// How many rows share a row of scales, which the number of scales tells.
  func rowsAScale(_ format: RowFormat, _ dim: Int) throws(EmbedError) -> Int {
    let size = try format.scaleBytes(dim: dim)
    guard size > 0, let scaleBytes, shape[0] > 0 else { return 1 }
    let count = scaleBytes.count / size
    if count <= 1 { return shape[0] }
    var shared = 1
    while shared < shape[0], (shape[0] - 1) / shared + 1 > count { shared *= 2 }
    return shared
  }

  /// Maps the file up to the end of both.
  func map(_ access: FileAccess) throws(MappedTableError) -> MappedRows {
    do throws(FileError) {
      let file = try InputFile(path)
      let end = max(bytes.upperBound, scaleBytes?.upperBound ?? 0)
      // The headers were checked against the size, but the file may have shrunk since.
      guard file.byteCount >= end else {
        throw .unsuitable(path: path, reason: "was cut short while it was read")
      }
      return MappedRows(try MappedMemory(file, byteCount: end, access: access))
    } catch {
      throw .model(.file(error))
    }
  }
}

/// A table's file in memory.
private final class MappedRows: Sendable {
  let memory: MappedMemory

  init(_ memory: consuming MappedMemory) { self.memory = memory }
}

extension RowFormat {
  /// The columns of a row that takes so many bytes; nil where no row does.
  package func dim(ofRowBytes bytes: Int) -> Int? {
    // A row grows with its blocks.
    var (low, high) = (1, bytes + 1)
    while low < high {
      let middle = low + (high - low) / 2
      let (dim, overflow) = middle.multipliedReportingOverflow(by: block)
      let size = overflow ? nil : try? rowBytes(dim: dim)
      if let size, size < bytes { low = middle + 1 } else { high = middle }
    }
    let (dim, overflow) = low.multipliedReportingOverflow(by: block)
    guard !overflow, (try? rowBytes(dim: dim)) == bytes else { return nil }
    return dim
  }
}
