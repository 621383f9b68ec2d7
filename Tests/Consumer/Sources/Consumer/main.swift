// Uses EmbedKernel as another package would: tables and ids written as .npy, read back, embedded by
// every backend, and the output written as .npy. Prints what the test beside it expects.
//
//   Consumer FOLDER

import EmbedKernel

let folder = CommandLine.arguments[1]
let shape = EmbeddingShape(vocabulary: 5, batch: 2, context: 3, dim: 4)

// Token v's row holds 10 v, position t's row t / 4: every sum is exact and tells both apart.
let tokenRows = (0..<shape.vocabulary * shape.dim).map { Float($0 / shape.dim * 10) }
let positionRows = (0..<shape.context * shape.dim).map { Float($0 / shape.dim) / 4 }
let tokenIDs: [Int64] = [4, 0, 3, 1, 1, 2]
try NumPyFile.write(tokenRows.span, shape: [5, 4], to: "\(folder)/tokens.npy")
try NumPyFile.write(positionRows.span, shape: [3, 4], to: "\(folder)/positions.npy")
try NumPyFile.write(tokenIDs.span, shape: [2, 3], to: "\(folder)/ids.npy")

func embed(with kernels: Kernels) throws -> [Float] {
  let tokens = try NumPyArray<Float>(contentsOf: "\(folder)/tokens.npy", rank: 2, access: .mapped)
  let positions = try NumPyArray<Float>(contentsOf: "\(folder)/positions.npy", rank: 2)
  let ids = try NumPyArray<Int64>(contentsOf: "\(folder)/ids.npy", rank: 2)
  var output = [Float](repeating: .nan, count: ids.count * shape.dim)
  var span = output.mutableSpan
  try kernels.embed(
    ids: ids.span, tokens: tokens.span, positions: positions.span, shape: shape, into: &span)
  return output
}

let output = try embed(with: .auto)
for kernels in [Kernels.openBLAS, .simd, .native] where try embed(with: kernels) != output {
  print("the backends disagree")
}
try NumPyFile.write(output.span, shape: [2, 3, 4], to: "\(folder)/output.npy")
print(try NumPyHeader(contentsOf: "\(folder)/output.npy").shape)
print(stride(from: 0, to: output.count, by: shape.dim).map { output[$0] })

do {
  _ = try NumPyArray<Int32>(contentsOf: "\(folder)/ids.npy")
} catch {
  print(error.description.split(separator: ": ").last ?? "")
}
