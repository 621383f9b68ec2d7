// One exchange between ranks, as addresses: what goes to each rank, and where what comes from it is put.

/// The pieces of an exchange between `ranks` ranks, this rank's own included. Reused from call to call.
@safe package struct Exchange: ~Copyable {
  let ranks: Int
  let send: UnsafeMutablePointer<UnsafeRawPointer?>
  let sendBytes: UnsafeMutablePointer<Int>
  let receive: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  let receiveBytes: UnsafeMutablePointer<Int>
  /// Which ranks did not answer.
  let late: UnsafeMutablePointer<UInt8>

  package init(ranks: Int) {
    self.ranks = ranks
    unsafe send = .allocate(capacity: ranks)
    unsafe sendBytes = .allocate(capacity: ranks)
    unsafe receive = .allocate(capacity: ranks)
    unsafe receiveBytes = .allocate(capacity: ranks)
    unsafe late = .allocate(capacity: ranks)
    unsafe send.initialize(repeating: nil, count: ranks)
    unsafe sendBytes.initialize(repeating: 0, count: ranks)
    unsafe receive.initialize(repeating: nil, count: ranks)
    unsafe receiveBytes.initialize(repeating: 0, count: ranks)
    unsafe late.initialize(repeating: 0, count: ranks)
  }

  deinit {
    unsafe send.deallocate()
    unsafe sendBytes.deallocate()
    unsafe receive.deallocate()
    unsafe receiveBytes.deallocate()
    unsafe late.deallocate()
  }

  /// What goes to a rank.
  @unsafe package func send(_ address: UnsafeRawPointer?, bytes: Int, to rank: Int) {
    unsafe send[rank] = address
    unsafe sendBytes[rank] = bytes
  }

  /// Where what comes from a rank is put.
  @unsafe package func receive(_ address: UnsafeMutableRawPointer?, bytes: Int, from rank: Int) {
    unsafe receive[rank] = address
    unsafe receiveBytes[rank] = bytes
  }

  var lateRanks: [Int] { (0..<ranks).filter { unsafe late[$0] != 0 } }
}

/// What an exchange's messages are known by: 15 bits, which every MPI has room for.
func tag(of operation: String) -> Int32 {
  var hash: UInt32 = 0x811C_9DC5
  for byte in operation.utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
  return Int32((hash ^ hash >> 15) & 0x7FFF)
}
