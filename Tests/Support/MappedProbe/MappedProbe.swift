// A process of its own that maps a table, for tests of what it shares and of how it ends.
//
//   MappedProbe hold PATH            reads all rows, says "held", and waits for the end of its input
//   MappedProbe elsewhere PATH       touches a page of another file that was cut short: SIGBUS ends it
//   MappedProbe chained PATH         the same with a handler of its own, which is told and exits with 7
//   MappedProbe outside PATH         cuts the table's file short and reads it, in no call: SIGBUS ends it

import EmbedKernel
import EmbedRows
import Foundation

@main enum MappedProbe {
  static func main() throws {
    guard CommandLine.arguments.count == 3 else { fatalError("MappedProbe SCENE PATH") }
    let (scene, path) = (CommandLine.arguments[1], CommandLine.arguments[2])
    if scene == "chained" {
      var action = sigaction()
      unsafe action.__sigaction_handler.sa_handler = { _ in _exit(7) }
      unsafe sigaction(SIGBUS, &action, nil)
    }
    let table = try RowTable(mapping: path, tensor: "rows")
    var output = [Float](repeating: 0, count: table.dim)
    let ids = (0..<Int64(table.rows)).map { $0 }
    try table.prefetch(ids)
    try table.decode(0..<1, into: &output)
    switch scene {
    case "hold":
      try FileHandle.standardOutput.write(contentsOf: Data("held\n".utf8))
      _ = FileHandle.standardInput.readDataToEndOfFile()
    case "elsewhere", "chained":
      print(touch(path + ".other"))
    case "outside":
      unsafe truncate(path, 0)
      print(table.rowBytes[0])
    default: fatalError("no scene \(scene)")
    }
  }

  /// A byte of a file that has none.
  private static func touch(_ path: String) -> UInt8 {
    let file = unsafe open(path, O_RDWR | O_CREAT, 0o600)
    guard ftruncate(file, 4_096) == 0,
      let pages = unsafe mmap(nil, 4_096, PROT_READ, MAP_SHARED, file, 0),
      ftruncate(file, 0) == 0
    else { fatalError("no file to touch") }
    return unsafe pages.load(as: UInt8.self)
  }
}
