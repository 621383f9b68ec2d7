// The drawing of lines, and the log of losses.

import EmbedCommand
import Foundation
import TestSupport
import Testing

@Suite struct LineChartTests {
  private func chart(_ series: [LineChart.Series]) -> String {
    LineChart(
      title: "a < b", subtitle: "c & d", xLabel: "step", yLabel: "loss", series: series
    ).svg
  }

  @Test func placesFollowTheAxes() {
    let svg = chart([.init("v", .strong, [(0, 1), (5, 3), (10, 2)])])
    // 0...10 by 1...3 on a plot of 796 by 388 at 92, 96.
    #expect(svg.contains("<path class=\"strong\" d=\"M92 484L490 96L888 290\"/>"))
    #expect(svg.components(separatedBy: "<circle").count == 4)
    #expect(svg.contains(">a &lt; b</text>") && svg.contains(">v</text>"))
    #expect(svg.contains("prefers-color-scheme: dark"))
    #expect(isWellFormed(svg))
  }

  @Test func manyPointsAreThinned() throws {
    let points = (0..<10_000).map { (x: Double($0), y: Double($0 % 2)) }
    let svg = chart([.init("t", .faint, points)])
    let path = try #require(
      svg.split(separator: "\n").last { $0.hasPrefix("<path class=\"faint\" d=\"M92") })
    #expect(path.split(separator: "L").count == LineChart.mostPoints)
    #expect(isWellFormed(svg))
  }

  @Test(arguments: [[], [(3.0, 2.0)], [(1.0, 2.0), (2.0, 2.0)], [(0.0, 1e-7), (1e6, 1e7)]])
  func fewPointsAndFlatLinesAreDrawn(_ points: [(Double, Double)]) {
    let svg = chart([.init("t", .faint, points.map { (x: $0.0, y: $0.1) })])
    #expect(isWellFormed(svg))
    #expect(!svg.contains("nan") && !svg.contains("inf"))
    #expect(svg.contains("<circle") == (points.count == 1))
  }
}

@Suite struct TicksTests {
  @Test(
    arguments: [
      (0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
      (0, 10, ["0", "2", "4", "6", "8", "10"]),
      (-3, 3, ["\u{2212}3", "\u{2212}2", "\u{2212}1", "0", "1", "2", "3"]),
      (0, 1e19, ["0", "2e18", "4e18", "6e18", "8e18", "1e19"]),
      (
        -1e300, 0,
        ["\u{2212}1e300", "\u{2212}8e299", "\u{2212}6e299", "\u{2212}4e299", "\u{2212}2e299", "0"]
      ),
      (0, 1e-12, ["0", "2e-13", "4e-13", "6e-13", "8e-13", "1e-12"]),
      (1e7, 1e7 + 4, ["10000000", "10000001", "10000002", "10000003", "10000004"]),
    ] as [(Double, Double, [String])])
  func labels(_ low: Double, _ high: Double, _ expected: [String]) {
    let ticks = Ticks(length: high - low, most: 7)
    #expect(ticks.values(low, high).map(ticks.label) == expected)
  }

  /// Whatever the numbers, there is an end, and no more ticks than asked for.
  @Test func anyNumbersHaveTicks() {
    let numbers = [
      0, 1, -1, 0.3, 1e-9, .leastNonzeroMagnitude, 1e15, 1e19, -1e19, 1e300,
      .greatestFiniteMagnitude,
      -.greatestFiniteMagnitude, .infinity, -.infinity, .nan, 0x1p53, 0x1p63,
    ]
    for low in numbers {
      for high in numbers {
        for isWhole in [false, true] {
          let ticks = Ticks(length: high - low, most: 9, isWhole: isWhole)
          #expect(ticks.step.isFinite && ticks.step > 0)
          let values = ticks.values(low, high)
          #expect(values.count <= 1_001)
          for value in values { #expect(!holdsNoNumber(ticks.label(value))) }
        }
      }
    }
  }
}

@Suite struct LossLogTests {
  private func row(_ step: Int, _ validation: Double? = nil) -> LossRow {
    LossRow(
      step: step, tokens: step * 10, learningRate: 0.1 / Double(step), trainingLoss: 1 / 3,
      validationLoss: validation, gradientNorm: 1e-9, seconds: Double(step) / 8)
  }

  @Test func rowsAreReadBackAndCutAtTheStep() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("losses.csv")
    var log = try LossLog(creating: path)
    for step in 1...5 { try log.add(row(step, step == 3 ? 0.7 : nil)) }
    try log.synchronise()
    let whole = try String(contentsOfFile: path, encoding: .utf8)
    // Half a row at the end, as a crash of the machine may leave it.
    try (whole + "6,60,0.0").write(toFile: path, atomically: true, encoding: .utf8)
    var continued = try LossLog(continuing: path, at: 3)
    #expect(continued.rows == [row(1), row(2), row(3, 0.7)])
    for step in 4...5 { try continued.add(row(step)) }
    #expect(try String(contentsOfFile: path, encoding: .utf8) == whole)
    let none = try LossLog(continuing: path, at: 0)
    #expect(none.rows.isEmpty)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == whole.prefix { $0 != "\n" } + "\n")
  }

  @Test func aLostLogBeginsAnew() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("losses.csv")
    var log = try LossLog(continuing: path, at: 8)
    try log.add(row(9))
    let continued = try LossLog(continuing: path, at: 9)
    #expect(continued.rows == [row(9)])
    #expect(throws: CommandError.self) { _ = try LossLog(continuing: path, at: 12) }
  }
}
