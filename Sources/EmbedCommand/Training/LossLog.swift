// The losses of a run, a row a step, in a CSV file that is appended to as the run goes. A run that was
// killed may have left rows of steps that its checkpoint does not know: they are cut off when it goes on.

internal import EmbedKernel

/// A step of a run.
package struct LossRow: Equatable {
  package var step: Int
  /// The tokens of all steps so far.
  package var tokens: Int
  package var learningRate: Double
  package var trainingLoss: Double
  /// Where this step was followed by an evaluation.
  package var validationLoss: Double?
  package var gradientNorm: Double
  /// How long the run has taken so far.
  package var seconds: Double

  package init(
    step: Int, tokens: Int, learningRate: Double, trainingLoss: Double, validationLoss: Double?,
    gradientNorm: Double, seconds: Double
  ) {
    self.step = step
    self.tokens = tokens
    self.learningRate = learningRate
    self.trainingLoss = trainingLoss
    self.validationLoss = validationLoss
    self.gradientNorm = gradientNorm
    self.seconds = seconds
  }

  static let header =
    "step,tokens,learning_rate,training_loss,validation_loss,gradient_norm,seconds"

  /// Every number with as many digits as it takes to read the same back, but for the time.
  var text: String {
    "\(step),\(tokens),\(learningRate),\(trainingLoss),"
      + "\(validationLoss.map { $0.legible } ?? ""),\(gradientNorm),\(fixed(seconds, 3))"
  }

  /// Reads a line.
  ///
  /// - Throws: What a row cannot have, in a few words.
  init(_ line: Substring) throws(RowFault) {
    let cells = line.split(separator: ",", omittingEmptySubsequences: false)
    let names = Self.header.split(separator: ",")
    guard cells.count == names.count else {
      throw RowFault("has \(plural(cells.count, "cell")), not \(names.count)")
    }
    func wrong(_ column: Int, _ expected: String) -> RowFault {
      RowFault("has the \(names[column]) '\(cells[column])', not \(expected)")
    }
    func integer(_ column: Int) throws(RowFault) -> Int {
      guard let value = Int(cells[column]), value >= 0 else {
        throw wrong(column, "an integer of 0 or more")
      }
      return value
    }
    // What a step computes is finite, or training ends there.
    func number(_ column: Int) throws(RowFault) -> Double {
      guard let value = Double(cells[column]), value.isFinite else {
        throw wrong(column, "a finite number")
      }
      return value
    }
    // A model may be past all bounds when it is evaluated, and is found out at the next step.
    let validation = Double(cells[4])
    guard cells[4].isEmpty || validation != nil else { throw wrong(4, "a number") }
    self.init(
      step: try integer(0), tokens: try integer(1), learningRate: try number(2),
      trainingLoss: try number(3), validationLoss: validation, gradientNorm: try number(5),
      seconds: try number(6))
  }
}

/// What is wrong with a line of a log.
struct RowFault: Error {
  let reason: String

  init(_ reason: String) { self.reason = reason }
}

/// The file of a run's rows.
package struct LossLog: ~Copyable {
  /// All rows of the file.
  package private(set) var rows: [LossRow] = []
  private let file: AppendedFile

  /// Begins a new file, in the place of any old one.
  package init(creating path: String) throws {
    let file = try AppendedFile(path)
    try file.cut(to: 0)
    try file.append(LossRow.header + "\n")
    self.init(file: file, rows: [])
  }

  private init(file: consuming AppendedFile, rows: [LossRow]) {
    self.file = file
    self.rows = rows
  }

  /// Takes up the file of a run at `step`, and cuts off what comes after: rows of later steps, and a
  /// row that a crash left half written. Where there is no file, a new one begins.
  ///
  /// - Parameter stepTokens: The tokens of a step; nil checks none.
  /// - Throws: `CommandError` that names the line, for a file that does not lead up to `step`.
  package init(continuing path: String, at step: Int, stepTokens: Int? = nil) throws {
    guard exists(path) else {
      try self.init(creating: path)
      return
    }
    let text = try TextFile.read(path, limit: .max)
    let lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    // What follows the last line end is no whole line.
    guard lines.count > 1, lines[0].elementsEqual(LossRow.header.utf8) else {
      throw CommandError.data("'\(path)': line 1 is not '\(LossRow.header)'")
    }
    var length = lines[0].count + 1
    var kept: [LossRow] = []
    var last: Int?
    for (index, line) in lines.dropFirst().dropLast().enumerated() {
      let row = try Self.row(
        Substring(line), after: last, stepTokens, "'\(path)': line \(index + 2)")
      last = row.step
      guard row.step <= step else { continue }
      kept.append(row)
      length += line.count + 1
    }
    guard kept.last.map({ $0.step == step }) ?? true else {
      throw CommandError.data(
        "'\(path)' ends at step \(kept.last?.step ?? 0), but the checkpoint is at step \(step)")
    }
    let file = try AppendedFile(path)
    try file.cut(to: length)
    self.init(file: file, rows: kept)
  }

  /// The row of a line, which must be that of the step after `last`.
  private static func row(
    _ line: Substring, after last: Int?, _ stepTokens: Int?, _ place: String
  ) throws(CommandError) -> LossRow {
    let row: LossRow
    do throws(RowFault) {
      row = try LossRow(line)
    } catch {
      throw .data("\(place) \(error.reason): \(quoted(String(line.prefix(200))))")
    }
    let (tokens, overflow) = row.step.multipliedReportingOverflow(by: stepTokens ?? 0)
    guard (1...Int(Int32.max)).contains(row.step), !overflow,
      stepTokens == nil || row.tokens == tokens
    else {
      throw .data("\(place) is of step \(row.step) with \(row.tokens) tokens, which no step has")
    }
    if let last, row.step != last + 1 {
      throw .data("\(place) is of step \(row.step), where step \(last + 1) is due")
    }
    return row
  }

  /// Adds the row of the next step.
  package mutating func add(_ row: LossRow) throws {
    try file.append(row.text + "\n")
    rows.append(row)
  }

  /// Forces the rows to the disk, so that none is missing before a checkpoint that is.
  package func synchronise() throws { try file.synchronise() }
}
