// Reading JSON, models' settings, and what a run of training leaves behind.

import EmbedCommand
import EmbedKernel
import EmbedModels
import EmbedTraining

/// A JSON value and all within it.
func readJSON(_ bytes: [UInt8]) throws {
  func visit(_ value: JSONValue) -> Int {
    _ = (value.summary, value.double)
    return switch value {
    case .array(let values): values.reduce(1) { $0 + visit($1) }
    case .object(let members): members.reduce(1) { $0 + visit($1.value) }
    default: 1
    }
  }
  let value = try JSONValue(parsing: bytes)
  require(visit(value) <= bytes.count, "more values than bytes")
}

/// A model's `config.json`: the rotation of each layer type, and a few rows of it.
func readRotary(_ json: String) throws {
  let types = try RotaryConfiguration.layerTypes(json: json)
  for type in types.map(Optional.some) + [nil] {
    do {
      let rotary = try RotaryEmbedding(RotaryConfiguration(json: json, layerType: type))
      guard rotary.headDim <= 1_024 else { continue }
      let shape = RotaryShape(batch: 1, heads: 1, context: 3, headDim: rotary.headDim)
      var vectors = [Float](repeating: 1, count: 3 * rotary.headDim)
      var span = vectors.mutableSpan
      try rotary.rotate(inPlace: &span, shape: shape)
      require(vectors.allSatisfy { !$0.isNaN }, "rotated by no number")
    } catch {
      precondition(!"\(error)".isEmpty)
    }
  }
}

/// A model, from its texts to its last parameter.
func readModel(_ path: String) throws {
  let model = try GPT(contentsOf: path)
  require(model.parameterCount > 0, "a model of nothing")
}

/// A run's state.
func readCheckpoint(_ path: String) throws {
  _ = try Trainer.restore(from: path, threads: 1)
}

/// A run's losses, up to a step, and their picture.
func readLosses(_ path: String) throws {
  for step in [3, 1, 0] {
    do {
      let log = try LossLog(continuing: path, at: step)
      let points = log.rows.map { (x: Double($0.step), y: $0.trainingLoss) }
      let chart = LineChart(
        title: "t", subtitle: "s", xLabel: "x", yLabel: "y",
        series: [LineChart.Series("training", .faint, points)])
      require(!chart.svg.isEmpty, "no picture")
      return
    } catch {
      precondition(!"\(error)".isEmpty)
    }
  }
}
