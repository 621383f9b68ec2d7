// Faults: every rank throws, none waits, and what it throws says who and what.

import EmbedDistributed
import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct AgreementTests {
  private func error<Value>(_ result: Result<Value, any Error>) -> DistributedError? {
    guard case .failure(let error) = result else { return nil }
    return error as? DistributedError
  }

  @Test func ranksThatDisagreeAreRefusedOnAll() throws {
    let results = try onRanks(3) { communicator in
      try ShardedEmbedding(
        vocabulary: 20, dim: 4, seed: communicator.rank == 2 ? 9 : 1, over: communicator
      ).dim
    }
    for result in results {
      #expect(error(result) == .disagreement(fact: "seed", values: ["1", "1", "9"]))
    }
    #expect(
      "\(try #require(error(results[0])))"
        == "ranks disagree on seed: 1 on rank 0, 1 on rank 1, 9 on rank 2")
    let positions = try onRanks(2) { communicator in
      try ShardedEmbedding(
        vocabulary: 20, dim: 4, positions: .learned(maximum: 8 + communicator.rank),
        over: communicator
      ).dim
    }
    for result in positions {
      #expect(error(result) == .disagreement(fact: "position rows", values: ["8", "9"]))
    }
    for result in try onRanks(2, { try $0.agree([("text", "a\nb"), ("count", "\($0.rank)")]) }) {
      #expect(error(result) == .disagreement(fact: "count", values: ["0", "1"]))
    }
    for result in try onRanks(2, { try $0.agree([($0.rank == 0 ? "a" : "b", "1")]) }) {
      #expect(error(result) == .disagreement(fact: "what they do", values: ["a", "b"]))
    }
    #expect(try values(3) { try $0.agree([("text", "same")]) }.count == 3)
  }

  @Test func tablesAreToldApartByCheckSum() throws {
    let results = try onRanks(2) { communicator in
      let layer = try InputEmbedding(vocabulary: 30, dim: 8, seed: UInt64(communicator.rank))
      return try ShardedEmbedding(dividing: layer, over: communicator).dim
    }
    for result in results {
      guard case .disagreement(let fact, let values)? = error(result) else {
        Issue.record("no disagreement: \(result)")
        continue
      }
      #expect(fact == "check sum of the token table")
      #expect(Set(values).count == 2)
    }
  }

  @Test func anIDOutsideOnOneRankIsThrownByAllAndTheLayerServesOn() throws {
    let results = try values(3) { communicator -> [DistributedError?] in
      let layer = try ShardedEmbedding(vocabulary: 10, dim: 4, over: communicator)
      var output = try layer.makeOutput(batch: 1, context: 3)
      var faults: [DistributedError?] = []
      for id in [communicator.rank == 1 ? 10 : 2, 4] {
        do throws(DistributedError) {
          try layer.forward([1, Int32(id), 2], batch: 1, context: 3, into: &output)
          faults.append(nil)
        } catch { faults.append(error) }
      }
      return faults
    }
    let fault = EmbedError.tokenOutOfRange(id: 10, batchRow: 0, position: 1, vocabulary: 10)
    #expect(results[0] == [.refused(rank: 1, reason: "\(fault)"), nil])
    #expect(results[1] == [.invalid(fault), nil])
    #expect(results[2] == results[0])
  }

  @Test func otherContextsAndOtherScalesAreFoundOut() throws {
    let contexts = try onRanks(2) { communicator in
      let layer = try ShardedEmbedding(vocabulary: 10, dim: 4, over: communicator)
      let context = 3 + communicator.rank
      var output = try layer.makeOutput(batch: 1, context: context)
      try layer.forward(
        [Int32](repeating: 1, count: context), batch: 1, context: context, into: &output)
    }
    for result in contexts {
      #expect(error(result) == .disagreement(fact: "context", values: ["3", "4"]))
    }
    let scales = try onRanks(2) { communicator in
      let layer = try ShardedEmbedding(vocabulary: 10, dim: 4, over: communicator)
      let optimizer = try ShardedOptimizer(.sgd(learningRate: .constant(0.1)), for: layer)
      let gradient = try layer.makeGradient()
      try optimizer.step(gradient, scale: communicator.rank == 0 ? 1 : 0.5)
      var output = try layer.makeOutput(batch: 1, context: 1)
      try layer.forward([Int32(1)], batch: 1, context: 1, into: &output)
    }
    for result in scales {
      guard case .disagreement("scales of steps", _)? = error(result) else {
        Issue.record("\(result)")
        continue
      }
    }
    let rules = try onRanks(2) { communicator in
      let layer = try ShardedEmbedding(vocabulary: 10, dim: 4, over: communicator)
      let decay = communicator.rank == 0 ? 0.1 : 0.2
      let rule = try UpdateRule.adamW(learningRate: .constant(0.1), weightDecay: decay)
      return try ShardedOptimizer(rule, for: layer).stepCount
    }
    for result in rules {
      guard case .disagreement("numbers of step 1", _)? = error(result) else {
        Issue.record("\(result)")
        continue
      }
    }
  }

  @Test func faultsOfArgumentsAreThrownOnAllRanks() throws {
    for result in try onRanks(3, { try ShardedEmbedding(vocabulary: 0, dim: 4, over: $0).dim }) {
      #expect(
        error(result)
          == .invalid(.invalidSize(argument: "rows", value: 0, expected: "1 or more")))
    }
    let narrow = try onRanks(5) {
      try ShardedEmbedding(vocabulary: 9, dim: 4, sharding: .columns, over: $0).dim
    }
    for result in narrow {
      #expect(
        error(result)
          == .invalid(
            .invalidSize(argument: "dim", value: 4, expected: "a column for each of 5 ranks")))
    }
    let counted = try onRanks(2) { communicator in
      let layer = try ShardedEmbedding(vocabulary: 9, dim: 4, over: communicator)
      var gradient = try layer.makeGradient()
      try layer.backward(
        [Float](repeating: 1, count: 8), ids: [Int32(1), 2], batch: 1, context: 2,
        into: &gradient, frequencyScaling: .inverse, order: .ranks)
    }
    for result in counted {
      guard case .invalid(.unsupported("frequency scaling", "inverse", _))? = error(result) else {
        Issue.record("\(result)")
        continue
      }
    }
  }

  @Test func aRankThatDoesNotComeIsNamed() throws {
    let start = ContinuousClock.now
    let results = try onRanks(3, timeOut: 0.3) { communicator in
      if communicator.rank == 1 { Thread.sleep(forTimeInterval: 1) }
      try communicator.barrier()
    }
    #expect(ContinuousClock.now - start < .seconds(20))
    let named = results.compactMap { error($0) }.contains {
      $0 == .timeOut(ranks: [1], operation: "barrier", seconds: 0.3)
    }
    #expect(named, "\(results)")
    #expect(error(results[1]) == .broken(operation: "barrier"))
  }

  @Test func ranksThatMakeDifferentCallsAreFoundOut() throws {
    let results = try onRanks(2) { communicator in
      if communicator.rank == 0 { return try communicator.barrier() }
      _ = try communicator.gather(bytes: [1])
    }
    let faults = results.map { error($0) }
    #expect(
      faults.contains {
        guard case .transport(_, let reason)? = $0 else { return false }
        return reason.contains("makes another call than rank")
      }, "\(faults)")
    #expect(!faults.contains(nil))
  }

  @Test func anAbortedRankEndsTheOthers() throws {
    let results = try onRanks(3) { communicator in
      if communicator.rank == 2 { return communicator.abort() }
      try communicator.barrier()
    }
    #expect(error(results[0]) == .broken(operation: "barrier"))
    #expect(error(results[1]) == .broken(operation: "barrier"))
  }

  @Test func withoutTheShimMPIIsRefusedByName() {
    unsafe _ = setenv("EMBEDKERNEL_MPI", "/nowhere/libembedkernel-mpi.so", 1)
    #expect {
      try Communicator.mpi()
    } throws: {
      guard case .unavailableMPI(let reason)? = $0 as? DistributedError else { return false }
      return reason.contains("/nowhere/libembedkernel-mpi.so")
    }
  }

  @Test func noRanksAreRefused() {
    #expect {
      try Communicator.threads(ranks: 0)
    } throws: {
      $0 as? DistributedError
        == .invalid(.invalidSize(argument: "ranks", value: 0, expected: "1 or more"))
    }
  }

  @Test func textsOfAllRanksInTheirOrder() throws {
    let texts = try values(4) { try $0.gather(String(repeating: "é", count: $0.rank)) }
    for list in texts { #expect(list == ["", "é", "éé", "ééé"]) }
  }
}
