// All parsers of bytes from outside, a line each. A new one is added here, with a few small inputs in
// Corpus/NAME.

import EmbedCommand
import EmbedData
import EmbedKernel
import EmbedTraining

let parsers: [Parser] = [
  Parser("npy") { try readArray($0.file()) },
  Parser("npz") { try readArchive($0.file()) },
  Parser("safetensors") { try readTensors($0.file()) },
  Parser("gguf") { try readGGUF($0.file()) },
  Parser("embedding") { try readEmbedding($0.file()) },
  // An index, and the one shard that there is.
  Parser("index") {
    let files = try $0.files("model.safetensors.index.json", "model-00001-of-00002.safetensors")
    try readEmbedding(files[0])
  },
  Parser("json") { try readJSON($0.bytes) },
  Parser("rotary") { try readRotary($0.text) },
  Parser("ranks") { try readVocabulary(BytePairTokenizer(ranks: $0.file())) },
  Parser("encoder") {
    let files = try $0.files("encoder.json", "vocab.bpe")
    try readVocabulary(BytePairTokenizer(encoder: files[0], merges: files[1]))
  },
  Parser("text") { try readText($0.bytes) },
  Parser("pieces") { try readPieces($0.bytes) },
  Parser("ids") { try readIDs($0.bytes) },
  Parser("tokens") { try readTokens($0.file()) },
  Parser("model") { try readModel($0.file()) },
  Parser("checkpoint") { try readCheckpoint($0.file()) },
  Parser("losses") { try readLosses($0.file()) },
  Parser("tuning") {
    _ = try TuningFile(parsing: $0.bytes, for: TunedMachine(cpu: "a CPU", threads: 2))
  },
]
