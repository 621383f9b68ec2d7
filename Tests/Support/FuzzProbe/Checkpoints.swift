// Reading arrays and tensors: each way to read a file must give the same as the others.

import EmbedFiles
import EmbedKernel
import EmbedModels

/// Every element of a `.npy` file, copied and mapped.
func readArray(_ path: String) throws {
  let header = try NumPyHeader(contentsOf: path)
  require(header.shape.reduce(1, *) == header.count, "a shape of another count")
  var read = 0
  read += try readElements(path, Float.self)
  read += try readElements(path, Double.self)
  read += try readElements(path, Int32.self)
  read += try readElements(path, Int64.self)
  read += try readElements(path, UInt8.self)
  if read == 0 { _ = try NumPyArray<Float>(contentsOf: path) }
}

/// 1 where the file is of the type.
private func readElements<Element: FileElement>(
  _ path: String, _ type: Element.Type
) throws -> Int {
  var sums: [UInt64] = []
  for access in [FileAccess.copied, .mapped] {
    do throws(NumPyError) {
      let array = try NumPyArray<Element>(contentsOf: path, access: access)
      require(array.shape.reduce(1, *) == array.count, "a shape of another count")
      sums.append(unsafe array.withUnsafeBufferPointer { unsafe sum(UnsafeRawBufferPointer($0)) })
    } catch {
      guard case .elementType = error else { throw error }
      require(sums.isEmpty, "copied, but not mapped: \(error)")
      return 0
    }
  }
  require(sums[0] == sums[1], "other elements copied than mapped")
  return 1
}

/// Every array of a `.npz` file.
func readArchive(_ path: String) throws {
  let archive = try NumPyArchive(contentsOf: path)
  for name in archive.names {
    do throws(NumPyArchiveError) {
      let array = try archive.array(name, as: Float.self)
      unsafe _ = array.withUnsafeBufferPointer { unsafe sum(UnsafeRawBufferPointer($0)) }
    } catch {
      _ = "\(error)"
      if case .array(.elementType) = error { _ = try archive.array(name, as: Int64.self) }
    }
  }
}

/// Every tensor of a safetensors file, copied and mapped.
func readTensors(_ path: String) throws {
  let header = try SafetensorsHeader(contentsOf: path)
  let copied = try Safetensors(contentsOf: path, access: .copied)
  let mapped = try Safetensors(contentsOf: path, access: .mapped)
  for name in header.tensors.map(\.name) {
    let one = try unsafe copied.bytes(of: name).withUnsafeBytes { unsafe sum($0) }
    let other = try unsafe mapped.bytes(of: name).withUnsafeBytes { unsafe sum($0) }
    require(one == other, "other bytes copied than mapped")
    let elements = try? copied.elements(of: name, as: Float.self)
    require((elements?.count ?? 0) * 4 <= header.dataByteCount, "more elements than bytes")
  }
}

/// Every value and tensor of a GGUF file, copied and mapped; and the same once it is written again.
func readGGUF(_ path: String) throws {
  let copied = try GGUF(contentsOf: path, access: .copied)
  let mapped = try GGUF(contentsOf: path, access: .mapped)
  let header = copied.header
  for pair in header.metadata {
    guard case .array(let array) = pair.value else { continue }
    require(array.values().count == array.count, "an array of another count")
  }
  // A file of a huge alignment would be as long as that.
  guard header.alignment <= 64 else { return }
  let again = path + ".again"
  var writer = try GGUFWriter(
    again, tensors: header.tensors.map { GGUFTensor($0) }, metadata: header.metadata)
  for entry in header.tensors {
    let bytes = try copied.bytes(of: entry.name)
    let one = unsafe bytes.withUnsafeBytes { unsafe sum($0) }
    let other = try unsafe mapped.bytes(of: entry.name).withUnsafeBytes { unsafe sum($0) }
    require(one == other, "other bytes copied than mapped")
    try writer.write(entry.name, bytes: bytes)
  }
  try writer.commit()
  let written = try GGUF(contentsOf: again, access: .copied)
  // By their bytes: a value that is no number equals none.
  require(
    written.header.metadata.map { "\($0)" } == header.metadata.map { "\($0)" },
    "other values written")
  for entry in header.tensors {
    let one = try unsafe copied.bytes(of: entry.name).withUnsafeBytes { unsafe sum($0) }
    let other = try unsafe written.bytes(of: entry.name).withUnsafeBytes { unsafe sum($0) }
    require(
      one == other && written.header.entry(entry.name)?.shape == entry.shape, "another tensor")
  }
}

/// The layers that a safetensors file makes.
func readEmbedding(_ path: String) throws {
  _ = try EmbeddingWeights(contentsOf: path)
  let plain = try? InputEmbedding(contentsOf: path)
  if plain == nil { _ = try FusedInputEmbedding(contentsOf: path) }
}

private func sum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
  unsafe bytes.reduce(0) { $0 &* 31 &+ UInt64($1) }
}
