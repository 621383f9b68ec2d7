// Files that `embed` refuses: exit code 1, a message that names the file and what is wrong in it,
// and no output file.

import EmbedKernel
import TestSupport
import Testing

@Suite struct EmbedArraysErrorTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    _ = try folder.array("ids.npy", [1, 2, 3, 4, 5, 0] as [Int64], [2, 3])
    _ = try folder.array("high.npy", [1, 2, 3, 4, 10, 0] as [Int64], [2, 3])
    _ = try folder.array("low.npy", [1, 2, 3, 4, 5, -7] as [Int32], [2, 3])
    _ = try folder.array("flat.npy", [1, 2, 3] as [Int32], [3])
    _ = try folder.array("floats.npy", [Float](repeating: 0, count: 6), [2, 3])
    _ = try folder.array("table.npy", [Float](repeating: 1, count: 40), [10, 4])
    _ = try folder.array("doubles.npy", [Double](repeating: 1, count: 40), [10, 4])
    _ = try folder.array("rows0.npy", [] as [Float], [0, 4])
    _ = try folder.array("positions.npy", [Float](repeating: 1, count: 16), [4, 4])
    _ = try folder.array("short.npy", [Float](repeating: 1, count: 8), [2, 4])
    _ = try folder.array("wide.npy", [Float](repeating: 1, count: 20), [4, 5])
    _ = try folder.array("places9.npy", [0, 1, 2, 3, 9, 1] as [Int64], [2, 3])
    _ = try folder.array("placesBig.npy", [0, 1, 2, 3, 1 << 40, 1] as [Int64], [2, 3])
    _ = try folder.array("turned.npy", [0, 1, 2, 3, 0, 1] as [Int32], [3, 2])
    _ = try folder.array("ends5.npy", [0, 2, 5] as [Int32], [3])
    _ = try folder.array("endsFall.npy", [0, 4, 2, 6] as [Int64], [4])
    _ = try folder.file("junk.npy", "hello")
  }

  /// Options, the file that the message must begin with (nil for none), and what it must hold.
  static let faults: [(options: String, file: String?, message: String)] = [
    ("--token-ids high.npy", "high.npy", "token id 10 at batch row 1, position 1"),
    ("--token-ids low.npy", "low.npy", "token id -7 at batch row 1, position 2"),
    ("--token-ids flat.npy", "flat.npy", "expected an array of rank 2"),
    ("--token-ids floats.npy", "floats.npy", "expected elements of type int32 or int64"),
    ("--token-ids junk.npy", "junk.npy", "is not a .npy file"),
    ("--token-ids absent.npy", nil, "absent.npy': No such file"),
    ("--token-table doubles.npy", "doubles.npy", "of type float32, found float64"),
    ("--token-table rows0.npy", "rows0.npy", "rows is 0"),
    ("--token-table flat.npy", "flat.npy", "of type float32, found int32"),
    ("--padding-id 10", "table.npy", "padding id is 10"),
    ("--position-table wide.npy", "wide.npy", "expected rows of 4"),
    ("--position-table short.npy", "short.npy", "the maximum is 2"),
    (
      "--position-table positions.npy --position-offset 2", "positions.npy",
      "context 3 at position offset 2"
    ),
    (
      "--position-table positions.npy --position-ids places9.npy", "places9.npy",
      "position 9 of the token at batch row 1, position 1"
    ),
    (
      "--position-table positions.npy --position-ids placesBig.npy", "placesBig.npy",
      "element 4 is 1099511627776"
    ),
    (
      "--position-table positions.npy --position-ids turned.npy", "turned.npy",
      "expected shape [2, 3] or [3], found [3, 2]"
    ),
    (
      "--position-table positions.npy --mask turned.npy", "turned.npy",
      "expected shape [2, 3], found [3, 2]"
    ),
    (
      "--position-table positions.npy --mask floats.npy", "floats.npy",
      "expected elements of type bool, uint8, int32 or int64"
    ),
    (
      "--position-table positions.npy --cumulative-lengths ends5.npy", "ends5.npy",
      "cumulative length 5 at index 2: expected batch * context = 6"
    ),
    (
      "--position-table positions.npy --cumulative-lengths endsFall.npy", "endsFall.npy",
      "cumulative length 2 at index 2"
    ),
    (
      "--position-table positions.npy --cumulative-lengths ids.npy", "ids.npy",
      "expected shape [any], found [2, 3]"
    ),
  ]

  @Test(arguments: faults.indices)
  func faultsExitWith1(_ index: Int) throws {
    let fault = Self.faults[index]
    var words = fault.options.split(separator: " ").map { word in
      word.hasSuffix(".npy") ? folder.path(String(word)) : String(word)
    }
    for (option, file) in [("--token-ids", "ids.npy"), ("--token-table", "table.npy")]
    where !words.contains(option) {
      words += [option, folder.path(file)]
    }
    let before = try folder.contents
    let result = try embedkernel(["embed", "--output", folder.path("out.npy")] + words)
    #expect(result.code == 1)
    #expect(result.output.isEmpty)
    #expect(result.errors.contains(fault.message), "\(result.errors)")
    if let file = fault.file {
      #expect(result.errors.hasPrefix("embedkernel embed: '\(folder.path(file))'"))
    }
    #expect(try folder.contents == before)
  }

  @Test func anOutputThatCannotBeWrittenIsNamed() throws {
    let path = folder.path("no/such/out.npy")
    let result = try embedkernel([
      "embed", "--token-ids", folder.path("ids.npy"), "--token-table", folder.path("table.npy"),
      "--output", path,
    ])
    #expect(result.code == 1)
    #expect(result.errors.contains("'\(path)': No such file"))
  }
}
