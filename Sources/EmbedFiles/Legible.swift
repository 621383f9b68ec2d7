// Numbers in messages, as people read them.

extension Double {
  /// The shortest text that reads back as the same number; `nan` without the bits that it carries.
  package var legible: String { isNaN ? "nan" : "\(self)" }
}
