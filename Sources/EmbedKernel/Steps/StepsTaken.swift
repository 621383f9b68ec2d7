// Which steps each row of exact-lazy AdamW has taken, and bringing rows up to date.

internal import CKernels

/// The steps that rows have taken, by state row, and room for what listed rows owe.
@safe struct StepsTaken {
  /// The last step that a row's parameters, and its moments, have taken.
  let parameterSteps: UnsafeMutablePointer<Int32>
  let momentSteps: UnsafeMutablePointer<Int32>
  /// Room for each listed row.
  let owed: UnsafeMutablePointer<ek_missed_steps>
  let pending: UnsafeMutablePointer<Int32>
  let missedSteps: MissedSteps

  var step: Int { missedSteps.step }

  /// A row that is listed has its step's bits inverted, so that it is listed once.
  static func marked(_ step: Int) -> Int32 { ~Int32(step) }
  static func unmarked(_ mark: Int32) -> Int { Int(~mark) }

  var history: ek_step_history { unsafe missedSteps.history }

  /// Writes down what the listed rows owe.
  func missed(_ range: Range<Int>, _ tile: ek_step_tile) -> UnsafePointer<ek_missed_steps> {
    for k in range {
      let slot = unsafe tile.slot(k)
      guard slot >= 0 else { continue }
      unsafe owed[k] = missedSteps.owed(
        parameters: Int(parameterSteps[slot]), moments: Int(momentSteps[slot]))
    }
    return unsafe UnsafePointer(owed)
  }

  /// Notes that the listed rows are at this step, or after a step of their own at the next.
  func settle(_ range: Range<Int>, _ tile: ek_step_tile, _ what: CatchUpWork.What) {
    for k in range {
      let slot = unsafe tile.slot(k)
      guard slot >= 0 else { continue }
      switch what {
      case .parameters:
        unsafe parameterSteps[slot] = Int32(step)
      case .everything:
        unsafe parameterSteps[slot] = Int32(step + 1)
        unsafe momentSteps[slot] = Int32(step + 1)
      }
    }
  }
}

extension ek_step_tile {
  /// The state row of the k-th listed row, negative for a row that does not move.
  @inline(__always)
  func slot(_ k: Int) -> Int {
    let row = unsafe row(k)
    guard row >= 0, unsafe row != frozen else { return -1 }
    return unsafe slots.map { unsafe Int($0[row]) } ?? row
  }

  /// The k-th row, negative where none is stepped.
  @inline(__always)
  func row(_ k: Int) -> Int {
    if unsafe form == EK_PASSED { return unsafe Int(destinations[place(k).token]) }
    return unsafe rows.map { unsafe Int($0[k]) } ?? k
  }

  /// The k-th token of a walk.
  @inline(__always)
  func place(_ k: Int) -> ek_walk_place {
    unsafe withUnsafePointer(to: walk) { unsafe ek_walk_at($0, k) }
  }
}

/// Brings rows up to date that are marked as listed: `pending` has them, each once.
@safe struct CatchUpWork: ParallelWork {
  /// The arrays; `rows` lists the rows.
  let tile: ek_step_tile
  let plan: Plan
  let count: Int
  let stepsTaken: StepsTaken
  let what: What

  enum What {
    /// What a forward pass reads. Moments, which are then only read, decay when they are next used.
    case parameters
    case everything
  }

  func run() { Threads.split(count, plan.threads, self) }

  func run(_ range: Range<Int>) {
    var tile = unsafe tile
    let step = stepsTaken.step
    for k in range {
      let slot = unsafe tile.slot(k)
      let (parameters, moments) = unsafe (
        StepsTaken.unmarked(stepsTaken.parameterSteps[slot]), Int(stepsTaken.momentSteps[slot])
      )
      unsafe stepsTaken.owed[k] = stepsTaken.missedSteps.owed(
        parameters: parameters, moments: moments)
      unsafe stepsTaken.parameterSteps[slot] = Int32(step)
      if what == .everything { unsafe stepsTaken.momentSteps[slot] = Int32(step) }
    }
    unsafe tile.missed = UnsafePointer(stepsTaken.owed)
    unsafe tile.history = stepsTaken.history
    if what == .everything { unsafe tile.moment_stream &+= 1 }
    unsafe tile.form = EK_ZERO
    unsafe tile.begin = range.lowerBound
    unsafe tile.end = range.upperBound
    unsafe plan.step(tile, what == .parameters ? EK_STEP_CATCH_UP : EK_STEP_CATCH_UP_ALL)
  }
}
