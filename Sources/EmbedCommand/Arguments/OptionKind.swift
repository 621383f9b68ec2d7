// The kinds of values that options take: how a text becomes one, what is said of a text that is none,
// and how the help shows one.

/// Why a text is no value of an option.
package struct OptionFault: Error {
  let reason: String

  init(_ reason: String) { self.reason = reason }
}

/// A kind of value.
package struct OptionKind<Value: Sendable>: Sendable {
  /// What stands for it in the help.
  let placeholder: String
  /// The values there are, where the placeholder does not list them.
  let choices: [String]
  let parse: @Sendable (String) throws(OptionFault) -> Value
  let show: @Sendable (Value) -> String

  init(
    _ placeholder: String, choices: [String] = [],
    show: @escaping @Sendable (Value) -> String = { "\($0)" },
    _ parse: @escaping @Sendable (String) throws(OptionFault) -> Value
  ) {
    self.placeholder = placeholder
    self.choices = choices
    self.parse = parse
    self.show = show
  }
}

extension OptionKind where Value == String {
  /// Any text.
  package static func text(_ placeholder: String) -> Self {
    Self(placeholder) { text throws(OptionFault) in text }
  }

  /// Words, shown in quotes.
  static var words: Self {
    Self("TEXT", show: { "'\($0)'" }) { text throws(OptionFault) in text }
  }

  /// A file of an array: `ArrayFile.forms`.
  static var array: Self { text("NPY") }
}

extension OptionKind where Value == [String] {
  /// Texts with commas between them.
  static func list(_ placeholder: String) -> Self {
    Self(placeholder, show: { $0.joined(separator: ", ") }) { text throws(OptionFault) in
      let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
      guard !parts.contains("") else { throw OptionFault("an empty name in '\(text)'") }
      return parts
    }
  }
}

extension OptionKind where Value == Int {
  /// An integer in `range`.
  package static func integer(
    _ placeholder: String = "N", in range: ClosedRange<Int> = 1...Int.max
  ) -> Self {
    Self(placeholder) { text throws(OptionFault) in
      guard let value = Int(text), range.contains(value) else {
        let bound =
          range.upperBound == Int.max
          ? "\(range.lowerBound) or more" : "\(range.lowerBound) to \(range.upperBound)"
        throw OptionFault("'\(text)' is not an integer of \(bound)")
      }
      return value
    }
  }

  /// Where a sequence begins, or another number that may be 0.
  static var natural: Self { integer(in: 0...Int.max) }
  /// Threads of a call.
  static var threads: Self { integer(in: 1...1024) }
}

extension OptionKind where Value == [Int] {
  /// Integers in `range`, with commas between them.
  static func integers(in range: ClosedRange<Int>) -> Self {
    let placeholder = "N,N,..."
    return Self(placeholder) { text throws(OptionFault) in
      var result: [Int] = []
      for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        guard let value = Int(part), range.contains(value) else {
          throw OptionFault(
            "'\(part)' is not an integer of \(range.lowerBound) or more; expected \(placeholder)")
        }
        result.append(value)
      }
      return result
    }
  }
}

extension OptionKind where Value == UInt64 {
  /// Any integer of 64 bits without a sign.
  package static var seed: Self {
    Self("N") { text throws(OptionFault) in
      guard let value = UInt64(text) else {
        throw OptionFault("'\(text)' is not an integer of 0 to \(UInt64.max)")
      }
      return value
    }
  }
}

extension OptionKind where Value == Double {
  /// A finite number.
  package static var number: Self { number() }

  /// A finite number above `minimum`, or one that holds to what is `expected`.
  static func number(
    _ placeholder: String = "NUMBER", above minimum: Double = -.infinity,
    _ expected: String = "", where holds: @escaping @Sendable (Double) -> Bool = { _ in true }
  ) -> Self {
    Self(placeholder, show: shown) { text throws(OptionFault) in
      guard let value = Double(text), value.isFinite, value > minimum else {
        let bound = minimum.isFinite ? " above \(fixed(minimum, 0))" : ""
        throw OptionFault("'\(text)' is not a finite number\(bound)")
      }
      guard holds(value) else { throw OptionFault("'\(text)' is not a number of \(expected)") }
      return value
    }
  }

  /// A number of 0 or more.
  static func atLeastZero(_ placeholder: String = "NUMBER") -> Self {
    number(placeholder, "0 or more") { $0 >= 0 }
  }

  /// A number without a needless point or zero.
  fileprivate static func shown(_ value: Double) -> String {
    Int(exactly: value).map { "\($0)" } ?? "\(value)".replacing("e-0", with: "e-")
  }
}

extension OptionKind where Value == Float {
  /// A finite number that is one as a Float too.
  static func float(_ placeholder: String = "NUMBER") -> Self {
    Self(placeholder, show: { OptionKind<Double>.shown(Double($0)) }) { text throws(OptionFault) in
      let value = Float(try OptionKind<Double>.number.parse(text))
      guard value.isFinite else { throw OptionFault("'\(text)' is too large for float32") }
      return value
    }
  }
}

extension OptionKind where Value: Equatable {
  /// One of a few names.
  ///
  /// - Parameter placeholder: What stands for the value in the help; nil for the names.
  static func choice(_ choices: [(name: String, value: Value)], _ placeholder: String? = nil)
    -> Self
  {
    let names = choices.map(\.name)
    return Self(
      placeholder ?? names.joined(separator: "|"), choices: placeholder == nil ? [] : names,
      show: { value in choices.first { $0.value == value }?.name ?? "" }
    ) { text throws(OptionFault) in
      if let choice = choices.first(where: { $0.name == text }) { return choice.value }
      throw OptionFault(
        "'\(text)' is none of \(names.joined(separator: ", "))\(hint(for: text, among: names))")
    }
  }
}

extension OptionKind
where Value: Equatable & CaseIterable & RawRepresentable, Value.RawValue == String {
  /// One of a type's cases.
  static var cases: Self { choice(Value.allCases.map { ($0.rawValue, $0) }) }
}
