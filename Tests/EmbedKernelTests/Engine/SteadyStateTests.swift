// What a call must not do: allocate, change OpenBLAS's threads, or disturb another call.

import EmbedKernel
import Foundation
import Testing

@Suite(.serialized) struct SteadyStateTests {
  /// Runs the probe, a process where nothing else allocates.
  @Test func aCallAllocatesNothing() throws {
    let probe = Process()
    probe.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
      .appending(path: "AllocationProbe")
    let pipe = Pipe()
    probe.standardOutput = pipe
    try probe.run()
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    probe.waitUntilExit()
    #expect(probe.terminationStatus == 0)
    let lines = output.split(separator: "\n")
    #expect(lines.last == "end")
    for family in [
      "forward", "backward", "bag", "fused", "typed", "rows", "step", "rotary", "bias",
    ] {
      for backend in Backend.allCases {
        for threads in [1, 2] {
          let call = " \(backend.rawValue) \(threads) \(family) "
          #expect(lines.contains { $0.contains(call) }, "no line of \(call)")
        }
      }
    }
    for positions in ["none", "learned", "sinusoidal", "rope", "alibi", "t5"] {
      for threads in [1, 2] {
        let call = " auto \(threads) train \(positions) "
        #expect(lines.contains { $0.contains(call) }, "no line of \(call)")
      }
    }
    #if !DEBUG
      // Unoptimised code keeps closures and copies on the heap.
      for line in lines.dropLast() { #expect(line.hasPrefix("0 "), "allocations: \(line)") }
    #endif
  }

  @Test func openBLASKeepsItsThreads() throws {
    let found = OpenBLASLibrary.threads
    defer { try? OpenBLASLibrary.setThreads(found) }
    for count in [1, 2] {
      try OpenBLASLibrary.setThreads(count)
      for threads in [1, 2, 5] {
        let layer = try InputEmbedding(vocabulary: 50, dim: 64, positions: .learned(maximum: 512))
        var output = try layer.makeOutput(batch: 2, context: 512)
        try layer.forward(
          (0..<1_024).map { Int32($0 % 50) }, batch: 2, context: 512, into: &output,
          using: .openBLAS.threads(threads))
        #expect(OpenBLASLibrary.threads == count)
      }
    }
  }

  @Test func manyThreadsMayCallAtOnce() async throws {
    let layer = try InputEmbedding(
      vocabulary: 1_000, dim: 96, positions: .learned(maximum: 64), seed: 4)
    var reference = try layer.makeOutput(batch: 3, context: 64)
    let ids = (0..<192).map { Int32(($0 * 37) % 1_000) }
    try layer.forward(ids, batch: 3, context: 64, into: &reference)
    let expected = unsafe Array(reference.unsafeBuffer)
    let wrong = try await withThrowingTaskGroup(of: Int.self) { group in
      for task in 0..<8 {
        group.addTask {
          var wrong = 0
          var output = try layer.makeOutput(batch: 3, context: 64)
          for round in 0..<50 {
            let backend = Backend.allCases[(task + round) % Backend.allCases.count]
            try layer.forward(
              ids, batch: 3, context: 64, into: &output,
              using: Kernels(backend: backend, threads: 1 + round % 3))
            if unsafe Array(output.unsafeBuffer) != expected { wrong += 1 }
          }
          return wrong
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(wrong == 0)
  }
}
