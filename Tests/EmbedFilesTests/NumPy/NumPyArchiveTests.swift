// `.npz` files: those that NumPy wrote, our own, and damaged ones.
// The fixtures come from scripts/reference/make_safetensors_fixtures.py; element i is i * 3 - 4.

import EmbedFiles
import Foundation
import TestSupport
import Testing

@Suite struct NumPyArchiveTests {
  private static let folder = Fixtures.folder.appending(path: "npz")

  private func path(_ name: String) -> String { Self.folder.appending(path: name).path }

  @Test(arguments: ["stored.npz", "deflated.npz"])
  func readsWhatNumPyWrote(name: String) throws {
    let archive = try NumPyArchive(contentsOf: path(name))
    let names = archive.names
    #expect(names == ["rows", "ids", "bytes", "scalar", "none"])
    try check(archive, "rows", [40, 12]) { Float($0) }
    try check(archive, "ids", [2, 3]) { Int64($0) }
    try check(archive, "bytes", [1_000]) { UInt8(truncatingIfNeeded: $0) }
    try check(archive, "scalar", []) { Double($0) }
    try check(archive, "none", [0]) { Int32($0) }
  }

  private func check<Element: FileElement & Equatable>(
    _ archive: borrowing NumPyArchive, _ name: String, _ shape: [Int],
    _ value: (Int) -> Element
  ) throws {
    let array = try archive.array(name, as: Element.self, rank: shape.count)
    let found = array.shape
    let elements = unsafe array.withUnsafeBufferPointer { unsafe Array($0) }
    #expect(found == shape)
    #expect(elements == (0..<shape.reduce(1, *)).map { value($0 * 3 - 4) })
  }

  @Test func findsTheDirectoryBeforeAComment() throws {
    let archive = try NumPyArchive(contentsOf: path("commented.npz"))
    let names = archive.names
    #expect(names == ["rows"])
    try check(archive, "rows", [40, 12]) { Float($0) }
    #expect(
      throws: NumPyArchiveError.missingArray(
        path: path("commented.npz"), name: "notes", found: ["rows"])
    ) { _ = try archive.array("notes", as: Float.self) }
    #expect(throws: NumPyArchiveError.self) { _ = try archive.array("rows", as: Int32.self) }
    #expect(throws: NumPyArchiveError.self) {
      _ = try archive.array("rows", as: Float.self, rank: 1)
    }
  }

  /// cnpy pads headers to 16 bytes alone and gives bytes an order; NPZ.jl says Fortran order of every array.
  @Test func readsWhatOthersWrote() throws {
    let cnpy = try NumPyArchive(contentsOf: path("cnpy.npz"))
    let names = cnpy.names
    #expect(names == ["tokens", "ids", "mask", "flags"])
    let tokens = try cnpy.array("tokens", as: Float.self, rank: 2)
    let (shape, elements) = (
      tokens.shape, unsafe tokens.withUnsafeBufferPointer { unsafe Array($0) }
    )
    #expect(shape == [5, 4] && elements == (0..<20).map(Float.init))
    let ids = try cnpy.array("ids", as: Int64.self)
    #expect(unsafe ids.withUnsafeBufferPointer { unsafe Array($0) } == [1, 2, 3, 4, 0, 1])
    for name in ["mask", "flags"] {
      let mask = try cnpy.array(name, as: UInt8.self, rank: 2)
      #expect(unsafe mask.withUnsafeBufferPointer { unsafe Array($0) } == [0, 1, 1, 1, 1, 1])
    }

    let julia = try NumPyArchive(contentsOf: path("julia.npz"))
    try check(julia, "rows", [40, 12]) { Float($0) }
    try check(julia, "ids", [7]) { UInt16(truncatingIfNeeded: $0) }
    #expect(try julia.header(of: "rows").isTransposed)
    #expect(try julia.header(of: "ids").shape == [7])
  }

  /// What is odd about one member does not keep the others from being read.
  @Test func readsTheMembersBesideAnOddOne() throws {
    let odd = try NumPyArchive(contentsOf: path("odd.npz"))
    try check(odd, "rows", [40, 12]) { Float($0) }
    try check(odd, "bare", [2, 3]) { Int64($0) }
    #expect(
      throws: NumPyArchiveError.duplicateName(path: path("odd.npz"), name: "twice.npy")
    ) { _ = try odd.array("twice", as: Float.self) }
    #expect(
      throws: NumPyArchiveError.unsupportedMethod(
        path: path("odd.npz"), member: "bzip2.npy", method: 12)
    ) { _ = try odd.array("bzip2", as: Float.self) }
    #expect(
      throws: NumPyArchiveError.encrypted(path: path("odd.npz"), member: "secret.npy")
    ) { _ = try odd.header(of: "secret") }
  }

  @Test func readsWhatItWrote() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("a.npz")
    let (floats, ids) = ((0..<35).map { Float($0) / 8 }, [5, -6] as [Int64])
    var writer = try NumPyArchiveWriter(path)
    try writer.write("floats", floats.span, shape: [5, 7])
    try writer.write("n\u{E4}me/ids", ids.span, shape: [2])
    let error = #expect(throws: NumPyArchiveError.self) {
      var second = try NumPyArchiveWriter(path)
      try second.write("a", ids.span, shape: [2])
      try second.write("a", ids.span, shape: [2])
    }
    #expect(error == .duplicateName(path: path, name: "a"))
    #expect(throws: NumPyArchiveError.self) {
      var second = try NumPyArchiveWriter(path)
      try second.write("a", ids.span, shape: [3])
    }
    try writer.commit()
    #expect(try folder.contents == ["a.npz"])
    let archive = try NumPyArchive(contentsOf: path)
    let names = archive.names
    #expect(names == ["floats", "n\u{E4}me/ids"])
    let array = try archive.array("floats", as: Float.self)
    let (shape, elements) = (
      array.shape, unsafe array.withUnsafeBufferPointer { unsafe Array($0) }
    )
    #expect(shape == [5, 7] && elements == floats)
    let read = try archive.array("n\u{E4}me/ids", as: Int64.self)
    #expect(unsafe read.withUnsafeBufferPointer { unsafe Array($0) } == ids)
  }

  /// The archive's whole contents, or nil where anything in it is refused.
  private func contents(_ path: String) -> [[UInt8]]? {
    do throws(NumPyArchiveError) {
      let archive = try NumPyArchive(contentsOf: path)
      var all: [[UInt8]] = []
      for name in archive.names {
        if let bytes = bytes(archive, name, Float.self) ?? bytes(archive, name, Int64.self)
          ?? bytes(archive, name, UInt8.self) ?? bytes(archive, name, Double.self)
          ?? bytes(archive, name, Int32.self)
        {
          all.append(bytes)
        } else {
          return nil
        }
      }
      return all
    } catch {
      #expect(error.description.contains(path))
      return nil
    }
  }

  private func bytes<Element: FileElement>(
    _ archive: borrowing NumPyArchive, _ name: String, _ type: Element.Type
  ) -> [UInt8]? {
    guard let array = try? archive.array(name, as: type) else { return nil }
    return unsafe array.withUnsafeBufferPointer { unsafe Array(UnsafeRawBufferPointer($0)) }
  }

  @Test(arguments: ["stored.npz", "deflated.npz"])
  func refusesTruncationsAndDamage(name: String) throws {
    let folder = try TemporaryFolder()
    let target = folder.path("cut.npz")
    let whole = try Data(contentsOf: URL(filePath: path(name)))
    let expected = try #require(contents(path(name)))
    #expect(expected.map(\.count) == [1_920, 48, 1_000, 8, 0])
    for length in stride(from: 0, to: whole.count, by: 7) {
      try whole.prefix(length).write(to: URL(filePath: target))
      #expect(contents(target) == nil)
    }
    // A byte of a member's data changed: its check sum tells.
    var damaged = whole
    damaged[300] ^= 0x10
    try damaged.write(to: URL(filePath: target))
    #expect(
      throws: NumPyArchiveError.damagedMember(path: target, member: "rows.npy")
    ) { _ = try NumPyArchive(contentsOf: target).array("rows", as: Float.self) }
  }

  @Test(arguments: 0..<6 as Range<UInt64>)
  func survivesMutatedFiles(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let folder = try TemporaryFolder()
    let target = folder.path("mutated.npz")
    let fixtures = try ["stored.npz", "deflated.npz", "commented.npz"].map { name in
      (Array(try Data(contentsOf: URL(filePath: path(name)))), contents(path(name)))
    }
    var good = 0
    for _ in 0..<300 {
      let (original, expected) = try #require(fixtures.randomElement(using: &random))
      var bytes = original
      for _ in 0..<Int.random(in: 0...3, using: &random) {
        // Half of them in the directory, where bytes steer the reader.
        let low = Bool.random(using: &random) ? 0 : max(0, bytes.count - 400)
        bytes[Int.random(in: low..<bytes.count, using: &random)] =
          [0, 1, 0xFF, 0x50, UInt8.random(in: 0...255, using: &random)][
            Int.random(in: 0..<5, using: &random)]
      }
      try Data(bytes).write(to: URL(filePath: target))
      if let read = contents(target) {
        good += 1
        // Names may have changed, and with them which members count; what is read is intact.
        for array in read { #expect(expected?.contains(array) == true) }
      }
    }
    #expect(good > 20 && good < 290)
  }
}
