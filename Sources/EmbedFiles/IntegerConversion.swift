// Floating-point numbers to integers. The standard library's `Int(_:)` ends the process for NaN, an
// infinity and whatever no Int holds, and numbers come from files, options and divisions by zero. So
// it does not compile here: `Int(exactly:)` tells such a number apart, `Int(saturating:)` takes the
// nearest integer that there is.
//
// Every module has this file, by a link, because a member shadows the standard library's only in files
// that see its module.

extension Int {
  /// `value` without what stands after its point; the end of the range that it is past, and 0 for
  /// what is not a number.
  @inline(__always)
  package init(saturating value: Double) {
    self = Int(exactly: value.rounded(.towardZero)) ?? (value > 0 ? .max : value < 0 ? .min : 0)
  }
}

extension Int {
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Double) { self.init(clamping: Int(saturating: value)) }
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Float) { self.init(clamping: Int(saturating: Double(value))) }
}

extension Int8 {
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Double) { self.init(clamping: Int(saturating: value)) }
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Float) { self.init(clamping: Int(saturating: Double(value))) }
}

extension Int16 {
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Double) { self.init(clamping: Int(saturating: value)) }
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Float) { self.init(clamping: Int(saturating: Double(value))) }
}

extension Int32 {
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Double) { self.init(clamping: Int(saturating: value)) }
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Float) { self.init(clamping: Int(saturating: Double(value))) }
}

extension Int64 {
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Double) { self.init(clamping: Int(saturating: value)) }
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Float) { self.init(clamping: Int(saturating: Double(value))) }
}

extension UInt {
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Double) { self.init(clamping: Int(saturating: value)) }
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Float) { self.init(clamping: Int(saturating: Double(value))) }
}

extension UInt8 {
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Double) { self.init(clamping: Int(saturating: value)) }
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Float) { self.init(clamping: Int(saturating: Double(value))) }
}

extension UInt16 {
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Double) { self.init(clamping: Int(saturating: value)) }
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Float) { self.init(clamping: Int(saturating: Double(value))) }
}

extension UInt32 {
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Double) { self.init(clamping: Int(saturating: value)) }
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Float) { self.init(clamping: Int(saturating: Double(value))) }
}

extension UInt64 {
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Double) { self.init(clamping: Int(saturating: value)) }
  @available(*, deprecated, message: "may trap: take init(exactly:) or Int(saturating:)")
  init(_ value: Float) { self.init(clamping: Int(saturating: Double(value))) }
}
