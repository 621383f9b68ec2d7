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
    "\(step),\(tokens),\(learningRate),\(trainingLoss),\(validationLoss.map { "\($0)" } ?? ""),"
      + "\(gradientNorm),\(fixed(seconds, 3))"
  }

  init?(_ text: Substring) {
    let cells = text.split(separator: ",", omittingEmptySubsequences: false)
    guard cells.count == 7, let step = Int(cells[0]), let tokens = Int(cells[1]),
      let learningRate = Double(cells[2]), let trainingLoss = Double(cells[3]),
      cells[4].isEmpty || Double(cells[4]) != nil, let gradientNorm = Double(cells[5]),
      let seconds = Double(cells[6])
    else { return nil }
    self.init(
      step: step, tokens: tokens, learningRate: learningRate, trainingLoss: trainingLoss,
      validationLoss: Double(cells[4]), gradientNorm: gradientNorm, seconds: seconds)
  }
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

  /// Takes up the file of a run at `step`, and cuts off what comes after. Where there is no file, a new
  /// one begins.
  ///
  /// - Throws: `CommandError` for a file that does not lead up to `step`.
  package init(continuing path: String, at step: Int) throws {
    guard fileSize(path) != nil else {
      try self.init(creating: path)
      return
    }
    let text = try TextFile.read(path, limit: .max)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    // What follows the last line end is no whole line.
    guard lines.count > 1, lines[0] == LossRow.header else {
      throw CommandError.data("'\(path)' does not begin with '\(LossRow.header)'")
    }
    var length = lines[0].utf8.count + 1
    var kept: [LossRow] = []
    for line in lines.dropFirst().dropLast() {
      guard let row = LossRow(line), kept.last.map({ row.step == $0.step + 1 }) ?? true else {
        throw CommandError.data(
          "'\(path)': line \(kept.count + 2) is not the row of a step: '\(line)'")
      }
      if row.step > step { break }
      kept.append(row)
      length += line.utf8.count + 1
    }
    guard kept.last.map({ $0.step == step }) ?? true else {
      throw CommandError.data(
        "'\(path)' ends at step \(kept.last?.step ?? 0), but the checkpoint is at step \(step)")
    }
    let file = try AppendedFile(path)
    try file.cut(to: length)
    self.init(file: file, rows: kept)
  }

  /// Adds the row of the next step.
  package mutating func add(_ row: LossRow) throws {
    try file.append(row.text + "\n")
    rows.append(row)
  }

  /// Forces the rows to the disk, so that none is missing before a checkpoint that is.
  package func synchronise() throws { try file.synchronise() }
}
