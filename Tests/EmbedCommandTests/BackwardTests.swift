// `backward` on files of NumPy, against plain loops: small whole numbers, so that sums are exact.

import EmbedKernel
import TestSupport
import Testing

@Suite struct BackwardTests {
  private static let (vocabulary, batch, context, dim) = (7, 2, 5, 3)

  private let folder: TemporaryFolder
  private let ids: [Int]
  private let gradient: [Float]

  init() throws {
    folder = try TemporaryFolder()
    ids = (0..<Self.batch * Self.context).map { ($0 * 3 + 1) % 5 }
    gradient = (0..<ids.count * Self.dim).map { Float(($0 * 11) % 17 - 8) }
    _ = try folder.array("ids.npy", ids.map { Int64($0) }, [Self.batch, Self.context])
    _ = try folder.array("ids32.npy", ids.map { Int32($0) }, [Self.batch, Self.context])
    _ = try folder.array("gradient.npy", gradient, [Self.batch, Self.context, Self.dim])
    _ = try folder.array("flat.npy", gradient, [Self.batch * Self.context, Self.dim])
    _ = try folder.array("places.npy", [4, 3, 2, 1, 0] as [Int32], [Self.context])
  }

  private func run(_ arguments: String, ids: String = "ids.npy") throws -> CommandResult {
    let words = arguments.split(separator: " ").map { word in
      word.hasSuffix(".npy") ? folder.path(String(word)) : String(word)
    }
    return try embedkernel(["backward", "--token-ids", folder.path(ids)] + words)
  }

  /// rows[row(n), :] += factor * gradient[n, :]
  private func expected(_ rows: Int, factor: Float = 1, _ row: (Int) -> Int?) -> [Float] {
    var result = [Float](repeating: 0, count: rows * Self.dim)
    for n in 0..<ids.count {
      guard let row = row(n) else { continue }
      for d in 0..<Self.dim { result[row * Self.dim + d] += factor * gradient[n * Self.dim + d] }
    }
    return result
  }

  @Test(arguments: ["ids.npy", "ids32.npy"], ["auto", "openblas", "simd", "native"])
  func gradientsAreThePlainSums(file: String, backend: String) throws {
    let result = try run(
      "--output-gradient gradient.npy --vocabulary 7 --token-gradient t.npy "
        + "--position-gradient p.npy --backend \(backend) --threads 2", ids: file)
    try #require(result.code == 0, "\(result.errors)")
    let tokens = try floats(folder.path("t.npy"))
    #expect(tokens.shape == [7, 3])
    #expect(tokens.elements == expected(7) { ids[$0] })
    let positions = try floats(folder.path("p.npy"))
    #expect(positions.shape == [5, 3])
    #expect(positions.elements == expected(5) { $0 % Self.context })
  }

  @Test func optionsChangeTheSums() throws {
    var result = try run(
      "--output-gradient gradient.npy --vocabulary 7 --token-gradient t.npy --padding-id 4 "
        + "--scale 2 --gradient-scale 0.5 --summation compensated")
    try #require(result.code == 0, "\(result.errors)")
    #expect(
      try floats(folder.path("t.npy")).elements == expected(7) { ids[$0] == 4 ? nil : ids[$0] })
    result = try run(
      "--output-gradient gradient.npy --vocabulary 7 --token-gradient t.npy "
        + "--frequency-scaling inverse --gradient-scale 2")
    try #require(result.code == 0, "\(result.errors)")
    // Each of the five ids occurs twice.
    #expect(try floats(folder.path("t.npy")).elements == expected(7) { ids[$0] })
    result = try run(
      "--output-gradient gradient.npy --vocabulary 7 --position-gradient p.npy "
        + "--position-ids places.npy --maximum-context 6")
    try #require(result.code == 0, "\(result.errors)")
    let positions = try floats(folder.path("p.npy"))
    #expect(positions.shape == [6, 3])
    #expect(positions.elements == expected(6) { 4 - $0 % Self.context })
  }

  @Test(arguments: [
    ("--output-gradient gradient.npy --vocabulary 4 --token-gradient t.npy", 1, "token id 4"),
    ("--output-gradient flat.npy --vocabulary 7 --token-gradient t.npy", 1, "rank 3"),
    ("--output-gradient gradient.npy --vocabulary 7", 2, "--token-gradient or"),
    ("--output-gradient gradient.npy --token-gradient t.npy", 2, "--vocabulary is needed"),
    ("--vocabulary 7 --token-gradient t.npy", 2, "--output-gradient is needed"),
    (
      "--output-gradient gradient.npy --vocabulary 7 --position-gradient p.npy "
        + "--maximum-context 4", 1, "the maximum is 4"
    ),
    (
      "--output-gradient gradient.npy --vocabulary 7 --token-gradient t.npy --position-offset 1",
      2, "needs --position-gradient"
    ),
  ])
  func faultsLeaveNoFile(arguments: String, code: Int32, message: String) throws {
    let result = try run(arguments)
    #expect(result.code == code)
    #expect(result.errors.contains(message), "\(result.errors)")
    #expect(try folder.contents.allSatisfy { $0 != "t.npy" && $0 != "p.npy" })
  }
}
