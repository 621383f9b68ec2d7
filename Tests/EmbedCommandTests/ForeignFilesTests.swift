// Arrays and tensors as other programs write them, through the command: each means the same as NumPy's
// usual form, or is refused with what to do. The fixtures come from scripts/reference/make_npy_fixtures.py,
// make_safetensors_fixtures.py and make_safetensors_headers.py.

import EmbedKernel
import EmbedModels
import Foundation
import TestSupport
import Testing

@Suite struct ForeignFilesTests {
  private static let fixtures = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "EmbedFilesTests/Fixtures")

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func path(_ name: String) -> String { Self.fixtures.appending(path: name).path }

  /// The embeddings `[2, 3, 4]` of ids [[1, 2, 3], [4, 0, 1]] at these positions, by rows of i.
  private func rows(positions: [Int]) -> [Float] {
    zip([1, 2, 3, 4, 0, 1], positions).flatMap { id, position in
      (0..<4).map { Float(4 * id + $0 + 4 * position + $0) }
    }
  }

  private func embed(_ words: [String]) throws -> [Float] {
    let output = folder.path("out.npy")
    let result = try embedkernel(["embed", "--output", output] + words)
    try #require(result.code == 0, "\(result.errors)")
    return try floats(output).elements
  }

  @Test(arguments: [
    "arrays/ids-i1.npy", "arrays/ids-i2.npy", "arrays/ids-i4.npy", "arrays/ids-i8.npy",
    "arrays/ids-u1.npy", "arrays/ids-u2.npy", "arrays/ids-u4.npy", "arrays/ids-u8.npy",
    "arrays/ids-fortran.npy", "npz/cnpy.npz:ids",
  ])
  func idsOfEveryInteger(name: String) throws {
    let table = path("arrays/table.npy")
    let words = ["--token-ids", path(name), "--token-table", table, "--position-table", table]
    #expect(try embed(words) == rows(positions: [0, 1, 2, 0, 1, 2]))
  }

  @Test(arguments: [
    "arrays/table-fortran.npy", "arrays/table-float16.npy", "arrays/table-bfloat16.npy",
    "arrays/table.npz", "arrays/table.npz:table", "npz/cnpy.npz:tokens",
  ])
  func tablesOfEveryForm(name: String) throws {
    let words = ["--token-ids", path("arrays/ids-i8.npy"), "--token-table", path(name)]
    #expect(
      try embed(words + ["--position-table", path(name)])
        == rows(positions: [0, 1, 2, 0, 1, 2]))
  }

  @Test(arguments: [
    "arrays/mask-u1.npy", "arrays/mask-lt-u1.npy", "arrays/mask-b1.npy", "arrays/mask-lt-b1.npy",
    "arrays/mask-q.npy", "npz/cnpy.npz:mask", "npz/cnpy.npz:flags",
  ])
  func masksOfEverySpelling(name: String) throws {
    let table = path("arrays/table.npy")
    let all = try embed([
      "--token-ids", path("arrays/ids-i8.npy"), "--token-table", table, "--position-table", table,
      "--mask", path(name),
    ])
    // The first token of the first row is padding, of which nothing is promised here.
    #expect(all.dropFirst(4) == rows(positions: [0, 0, 1, 0, 1, 2]).dropFirst(4))
  }

  @Test func positionsInFortranOrder() throws {
    let table = path("arrays/table.npy")
    let words = [
      "--token-ids", path("arrays/ids-i8.npy"), "--token-table", table, "--position-table", table,
    ]
    #expect(
      try embed(words + ["--position-ids", path("arrays/positions-fortran.npy")])
        == rows(positions: [0, 1, 2, 0, 1, 2]))
  }

  @Test(arguments: [
    ("--token-ids", "arrays/ids-huge.npy", "element 4 is 9223372036854775813, at [1, 1]"),
    ("--token-ids", "arrays/mask-b1.npy", "expected elements of type int32 or int64"),
    ("--token-table", "arrays/table-big-endian.npy", "newbyteorder('<')"),
    ("--token-table", "arrays/table-fortran-3d.npy", "numpy.ascontiguousarray"),
    ("--token-table", "npz/cnpy.npz", "cnpy.npz:NAME'; there are tokens, ids, mask, flags"),
    ("--token-table", "npz/cnpy.npz:token", "found tokens, ids, mask, flags"),
    ("--token-table", "npz/cnpy.npz:ids", "expected elements of type float32, found int64"),
  ])
  func whatIsRefusedSaysWhatToDo(option: String, name: String, message: String) throws {
    var words = ["--output", folder.path("out.npy"), option, path(name)]
    for (other, file) in [
      ("--token-ids", "arrays/ids-i8.npy"), ("--token-table", "arrays/table.npy"),
    ] where other != option { words += [other, path(file)] }
    let result = try embedkernel(["embed"] + words)
    #expect(result.code == 1)
    #expect(result.errors.contains(message), "\(result.errors)")
    #expect(try folder.contents.isEmpty)
  }

  @Test func stepNamesTheRowsPlace() throws {
    let result = try embedkernel([
      "step", "--optimizer", "sgd", "--table", path("arrays/table.npy"), "--rows",
      path("arrays/step-rows.npy"), "--gradients", path("arrays/step-gradients.npy"), "--output",
      folder.path("out.npy"),
    ])
    #expect(result.code == 1)
    #expect(
      result.errors.contains(
        "step-rows.npy': row 9 at [2, 1] is outside the table's 5 rows (0...4)"))
    #expect(try folder.contents.isEmpty)
  }

  @Test(arguments: [
    ["safetensors-headers/four-bits.safetensors", "--tensor", "model.embed_tokens.weight"],
    ["safetensors-headers/null-texts.safetensors", "--tensor", "model.embed_tokens.weight"],
    ["npz/cnpy.npz", "--tensor", "tokens"], ["npz/cnpy.npz:tokens"], ["arrays/table.npz"],
    ["arrays/table-fortran.npy"], ["arrays/table-bfloat16.npy"],
  ])
  func spectrumOfTheSameTable(words: [String]) throws {
    let expected = try embedkernel(["spectrum", path("arrays/table.npy")])
    #expect(expected.lines.count == 5)
    let result = try embedkernel(["spectrum", path(words[0])] + words.dropFirst())
    #expect(result.code == 0, "\(result.errors)")
    #expect(result.lines == expected.lines)
  }

  @Test func spectrumSaysWhichTensorToName() throws {
    let file = path("safetensors-headers/four-bits.safetensors")
    let none = try embedkernel(["spectrum", file])
    #expect(none.code == 1)
    #expect(none.errors.contains("by --tensor, such as 'model.embed_tokens.weight'\n"))
    let four = try embedkernel(["spectrum", file, "--tensor", "x.q"])
    #expect(four.code == 1)
    #expect(four.errors.contains("\"x.q\": expected elements of type F32, F16 or BF16, found F4"))
  }

  @Test func spectrumOfAShardedModel() throws {
    let layer = try InputEmbedding(vocabulary: 9, dim: 6, positions: .learned(maximum: 4), seed: 3)
    try layer.save(to: folder.path("a.safetensors"), names: .gpt2)
    let index =
      "{\"weight_map\": {\"wte.weight\": \"a.safetensors\", \"wpe.weight\": \"a.safetensors\"}}"
    _ = try folder.file("model.safetensors.index.json", index)
    let whole = try embedkernel(["spectrum", folder.path("a.safetensors")])
    for place in ["model.safetensors.index.json", ""] {
      let result = try embedkernel(["spectrum", folder.path(place)])
      #expect(result.code == 0, "\(result.errors)")
      #expect(result.lines == whole.lines && whole.lines.count == 5)
    }
  }

  @Test(arguments: [["spectrum", ""], ["tokenize", "", "--tokenizer", "byte"], ["evaluate", ""]])
  func anEmptyPathIsCalledEmpty(words: [String]) throws {
    let result = try embedkernel(
      words + (words[0] == "tokenize" ? ["--output", folder.path("o")] : []))
    #expect(result.code == 1)
    #expect(result.errors.contains("cannot open '': the path is empty"), "\(result.errors)")
  }
}
