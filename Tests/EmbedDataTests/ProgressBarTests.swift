// The progress line's text, and where it is drawn at all.

import EmbedData
import Testing

@Suite struct ProgressBarTests {
  @Test(
    arguments: [
      (
        50_000_000, 100_000_000, 5, 100,
        "reading [####################....................] 50% 50.0 MB of 100.0 MB, 10.0 MB/s, 00:05 left"
      ),
      (0, 10, 0, 100, "reading [........................................] 0% 0 B of 10 B, 0 B/s"),
      (
        10, 10, 1, 100,
        "reading [########################################] 100% 10 B of 10 B, 10 B/s"
      ),
      (
        1_000, 10_000_000, 1, 100,
        "reading [........................................] 0% 1.0 kB of 10.0 MB, 1.0 kB/s, 02:46:39 left"
      ),
      (50, 100, 1, 30, "reading 50% 50 B/s, 00:01 lef"),
      (
        1, Int.max, 1, 200,
        "reading [........................................] 0% 1 B of 9223372.0 TB, 1 B/s, 99:59:59 left"
      ),
    ] as [(Int, Int, Int, Int, String)])
  func theLineTellsProgress(
    completed: Int, total: Int, seconds: Int, columns: Int, expected: String
  ) {
    let line = ProgressBar.line(
      label: "reading", completed: completed, total: total, unit: .bytes,
      elapsed: .seconds(seconds), style: .init(columns: columns, hasColor: false))
    #expect(line == expected)
    #expect(line.count < columns)
  }

  @Test func withoutATotalThereIsNoBar() {
    let line = ProgressBar.line(
      label: "reading", completed: 2_500, total: nil, unit: .items("tokens"), elapsed: .seconds(1),
      style: .init(columns: 80, hasColor: true))
    #expect(line == "reading 2.5 k tokens, 2.5 k tokens/s")
  }

  /// The count goes before the bar does, the bar before a part of the note.
  @Test func aNoteStandsBehind() {
    func line(_ total: Int?, _ columns: Int) -> String {
      ProgressBar.line(
        label: "x", completed: 500, total: total, unit: .items("tokens"), elapsed: .seconds(1),
        note: "loss 1.52", style: .init(columns: columns, hasColor: false))
    }
    #expect(
      line(1_000, 90)
        == "x [########.........] 50% 500 tokens of 1.0 k tokens, 500 tokens/s, 00:01 left, loss 1.52"
    )
    #expect(
      line(1_000, 70)
        == "x [############.............] 50% 500 tokens/s, 00:01 left, loss 1.52")
    #expect(line(1_000, 50) == "x 50% 500 tokens/s, 00:01 left, loss 1.52")
    #expect(line(1_000, 35) == "x 50% 500 tokens/s, 00:01 left, lo")
    #expect(line(nil, 80) == "x 500 tokens, 500 tokens/s, loss 1.52")
  }

  @Test func theRateLeavesOutWhatWasDoneBefore() {
    let line = ProgressBar.line(
      label: "x", completed: 700, total: 1_000, unit: .items("steps"), first: 600,
      elapsed: .seconds(2), style: .init(columns: 90, hasColor: false))
    #expect(line.hasSuffix("] 70% 700 steps of 1.0 k steps, 50 steps/s, 00:06 left"))
  }

  @Test func colorIsAChoice() {
    func line(_ hasColor: Bool) -> String {
      ProgressBar.line(
        label: "x", completed: 1, total: 2, unit: .bytes, elapsed: .seconds(1),
        style: .init(columns: 80, hasColor: hasColor))
    }
    #expect(line(true).contains("\u{1B}[32m"))
    #expect(!line(false).contains("\u{1B}"))
  }

  @Test func onlyATerminalIsDrawnOn() {
    typealias Style = ProgressBar.Style
    #expect(Style(isTerminal: false, term: "xterm", noColor: nil, columns: 80) == nil)
    #expect(Style(isTerminal: true, term: "dumb", noColor: nil, columns: 80) == nil)
    #expect(Style(isTerminal: true, term: nil, noColor: nil, columns: 80) == nil)
    #expect(
      Style(isTerminal: true, term: "xterm", noColor: nil, columns: 0)
        == Style(columns: 80, hasColor: true))
    #expect(
      Style(isTerminal: true, term: "xterm", noColor: "1", columns: 120)
        == Style(columns: 120, hasColor: false))
    #expect(
      Style(isTerminal: true, term: "xterm", noColor: "", columns: 120)
        == Style(columns: 120, hasColor: true))
  }
}
