// A run of `step` that is cut in two, with its state handed over, gives the bits of the whole run; a state
// that does not fit is refused by name.

import EmbedKernel
import TestSupport
import Testing

@Suite struct StepStateTests {
  private static let (rows, dim, steps, listed, cut) = (12, 5, 8, 4, 3)
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    var random = SeededGenerator(seed: 11)
    let table = (0..<Self.rows * Self.dim).map { _ in Float.random(in: -1...1, using: &random) }
    _ = try folder.array("table.npy", table, [Self.rows, Self.dim])
    _ = try folder.array("bf16.npy", table.map { BFloat16($0) }, [Self.rows, Self.dim])
    let size = Self.listed * Self.dim
    let gradients = (0..<Self.steps * size).map { _ in Float.random(in: -1...1, using: &random) }
    let ids = (0..<Self.steps * Self.listed).map { _ in
      Int32.random(in: 0..<Int32(Self.rows), using: &random)
    }
    func write(_ name: String, _ range: Range<Int>) throws {
      let shape = [range.count, Self.listed]
      _ = try folder.array(
        "g\(name).npy", Array(gradients[range.lowerBound * size..<range.upperBound * size]),
        shape + [Self.dim])
      _ = try folder.array(
        "r\(name).npy",
        Array(ids[range.lowerBound * Self.listed..<range.upperBound * Self.listed]), shape)
    }
    try write("", 0..<Self.steps)
    try write("1", 0..<Self.cut)
    try write("2", Self.cut..<Self.steps)
  }

  private func bytes(_ name: String) throws -> [UInt8] {
    try fileBytes(folder.path(name))
  }

  /// An optimiser and its options: every one with every way of untouched rows that it has, and two with
  /// more.
  static let kinds: [(optimizer: String, options: String)] = {
    var kinds: [(optimizer: String, options: String)] = []
    for name in UpdateRule.names {
      for untouched in UntouchedRows.allCases where name == "adamw" || untouched != .caughtUp {
        kinds.append((name, "--untouched \(untouched.rawValue)"))
      }
    }
    let schedule = "--schedule cosine --warmup 2 --total-steps 6 --learning-rate 0.1"
    kinds.append(("adamw", "--untouched caught-up \(schedule)"))
    kinds.append(("adam", "--clip 0.5 --trainable-rows 2:9 --frozen-row 4"))
    return kinds
  }()

  @Test(arguments: kinds.indices, ["table.npy", "bf16.npy", "stochastic"])
  func twoHalvesAreTheWhole(_ index: Int, _ table: String) throws {
    let (optimizer, more) = Self.kinds[index]
    let isRandom = table == "stochastic"
    if isRandom, more.contains("caught-up") { return }
    let file = isRandom ? "bf16.npy" : table
    let options =
      "step --optimizer \(optimizer) \(more)"
      + (isRandom ? " --updates stochastic --rounding-seed 9" : "")
    let whole = try folder.run(
      "\(options) --table \(file) --gradients g.npy --rows r.npy --output whole.npy "
        + "--state-out whole.safetensors")
    try #require(whole.code == 0, "\(whole.errors)")
    let first = try folder.run(
      "\(options) --table \(file) --gradients g1.npy --rows r1.npy --output half.npy "
        + "--state-out half.safetensors")
    try #require(first.code == 0, "\(first.errors)")
    let second = try folder.run(
      "\(options) --table half.npy --gradients g2.npy --rows r2.npy --output both.npy "
        + "--state-in half.safetensors --state-out both.safetensors")
    try #require(second.code == 0, "\(second.errors)")
    #expect(try bytes("both.npy") == bytes("whole.npy"))
    #expect(try bytes("both.safetensors") == bytes("whole.safetensors"))
    #expect(try bytes("half.npy") != bytes("whole.npy"))
  }

  @Test(arguments: [
    ("--optimizer adam", "", "the state of adamw has optimizer adamw, here it is adam"),
    ("--optimizer adamw --beta1 0.8", "", "has beta1 0.9, here it is 0.8; --state-settings ignore"),
    ("--optimizer adamw --learning-rate 0.5", "", "has learning-rate 0.001, here it is 0.5"),
    ("--optimizer adamw --clip 1", "", "has clip none, here it is 1.0"),
    ("--optimizer adamw --untouched left", "", "has untouched stepped, here it is left"),
    ("--optimizer adamw --trainable-rows 0:3", "", #""trainable_rows""#),
    ("--optimizer adamw --table small.npy", "", #"tensor "exp_avg""#),
    ("--optimizer adamw --table bf16.npy", "", "has updates none, here it is masters"),
    (
      "--optimizer adamw --untouched caught-up", "--untouched caught-up",
      "--table is not the table of this state"
    ),
    (
      "--optimizer adamw --untouched caught-up --beta2 0.99 --state-settings ignore",
      "--untouched caught-up", "has beta2 0.999, here it is 0.99"
    ),
  ])
  func whatDoesNotFitIsRefused(_ options: String, _ first: String, _ message: String) throws {
    _ = try folder.array("small.npy", [Float](repeating: 0, count: 10), [2, 5])
    let run = try folder.run(
      "step --optimizer adamw \(first) --table table.npy --gradients g1.npy --rows r1.npy "
        + "--output half.npy --state-out half.safetensors")
    try #require(run.code == 0, "\(run.errors)")
    // The table before the first half is not that of the state.
    let table =
      options.contains("--table") ? "" : first.isEmpty ? "--table half.npy" : "--table table.npy"
    let rows = options.contains("small") ? "--gradients gs.npy" : "--gradients g2.npy --rows r2.npy"
    _ = try folder.array("gs.npy", [Float](repeating: 0, count: 10), [1, 2, 5])
    let refused = try folder.run(
      "step \(options) \(table) \(rows) --output o.npy --state-in half.safetensors "
        + "--state-out o.safetensors")
    #expect(refused.code == 1)
    #expect(refused.errors.contains("half.safetensors"), "\(refused.errors)")
    #expect(refused.errors.contains(message), "\(refused.errors)")
    #expect(try folder.contents.allSatisfy { !$0.hasPrefix("o.") })
  }

  /// Settings may change on purpose.
  @Test func otherSettingsMayHoldFromHereOn() throws {
    _ = try folder.run(
      "step --optimizer adam --table table.npy --gradients g1.npy --rows r1.npy --output half.npy "
        + "--state-out half.safetensors")
    let run = try folder.run(
      "step --optimizer adam --beta1 0.5 --table half.npy --gradients g2.npy --rows r2.npy "
        + "--output o.npy --state-in half.safetensors --state-settings ignore")
    #expect(run.code == 0, "\(run.errors)")
  }

  /// A file with no more than another program would write.
  @Test func aStateMadeElsewhereIsTaken() throws {
    var writer = try SafetensorsWriter(
      folder.path("torch.safetensors"),
      tensors: ["exp_avg", "exp_avg_sq"].map {
        SafetensorsTensor($0, .float32, shape: [Self.rows, Self.dim])
      }, metadata: ["optimizer": "adam", "step": "4"])
    let count = Self.rows * Self.dim
    let (first, second) = (
      [Float](repeating: 0.5, count: count), [Float](repeating: 1, count: count)
    )
    try writer.write("exp_avg", first.span)
    try writer.write("exp_avg_sq", second.span)
    try writer.commit()
    let start = try floats(folder.path("table.npy")).elements
    _ = try folder.array("zero.npy", [Float](repeating: 0, count: count), [1, Self.rows, Self.dim])
    let run = try folder.run(
      "step --optimizer adam --learning-rate 0.01 --table table.npy --gradients zero.npy "
        + "--output o.npy --state-in torch.safetensors")
    try #require(run.code == 0, "\(run.errors)")
    // Step 5 by the formula, with moments that a gradient of zero has shrunk.
    let (m, v) = (0.9 * 0.5 / (1 - 0.59049), (0.999 / (1 - 0.995009990004999)).squareRoot())
    let actual = try floats(folder.path("o.npy")).elements
    for i in 0..<count {
      #expect(abs(Double(actual[i]) - (Double(start[i]) - 0.01 * m / v)) < 1e-6)
    }
  }
}
