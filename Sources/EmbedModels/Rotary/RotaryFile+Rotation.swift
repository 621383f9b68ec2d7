// What a configuration says of the rotation itself: base, head dim, rotated elements, pairs and axes.

internal import EmbedKernel

extension RotaryFile {
  /// The ratio of the longest to the shortest wavelength.
  func base(_ fields: RotaryFields) throws(EmbedError) -> Double {
    var base: Double
    if let inside = fields.object["rope_theta"], inside != .null {
      let value = try perLayer("\(fields.name).rope_theta", inside)
      base = try Self.positive("\(fields.name).rope_theta", value)
    } else {
      let stated = try stated("rope_theta")
      let name = stated?.name ?? "\(fields.name).rope_theta"
      guard let value = try value("rope_theta"), !isUnknown || stated != nil else {
        throw .invalidField(
          field: name, found: "missing",
          expected: isUnknown ? unknownType("states its rope_theta") : "a finite number above 0")
      }
      base = try Self.positive(name, value)
    }
    if let field = model.string("ratio"), let ratio = members[field], ratio != .null {
      base *= try Self.positive(prefix + field, ratio)
    }
    if let own = try layerBase() { base = own }
    return base
  }

  /// The base in a list with one a layer, where 0 stands for no rotation.
  private func layerBase() throws(EmbedError) -> Double? {
    guard let field = model.string("thetas"), case .array(let values) = members[field] else {
      return nil
    }
    let kinds = layerKinds
    let mine = values.enumerated().compactMap { index, value -> Double? in
      layerType == nil || index < kinds.count && kinds[index] == layerType ? value.double : nil
    }
    let bases = Set(mine.filter { $0 != 0 })
    guard let base = bases.first, bases.count == 1 else {
      throw fault(
        field, bases.isEmpty ? "0 for these layers" : "numbers that differ by layer",
        bases.isEmpty
          ? "a base; these layers have no rotation" : "one base for the layers that are meant")
    }
    return try Self.positive(prefix + field, .number(base))
  }

  /// The head dim: the first of the model type's ways to say it that the file or the type fills.
  func headDim(_ given: Int?) throws(EmbedError) -> Int {
    let head = model.string("head") ?? "head_dim | hidden_size / num_attention_heads"
    let ways = head.split(separator: "|").map { $0.split(separator: " ").map(String.init) }
    // A part of each head with a width of its own is the type's, whatever the file leaves out.
    let isPart = head.contains("qk_")
    var isStated = false
    for name in ways.joined() where !isStated {
      isStated = try stated(name).map { $0.value != .null } ?? false
    }
    guard isStated || !isUnknown || given != nil else {
      throw fault("head_dim", "missing", unknownType("states its head dim"))
    }
    // Types with a multiple of the usual size have their own code for a field left out, not for null.
    if head.contains("*"), let first = try stated(ways[0][0]), first.value == .null {
      throw .invalidField(
        field: first.name, found: "null", expected: "a whole number above 0, or no such field")
    }
    var missing = prefix + ways[0][0]
    for way in ways {
      let numbers = try numbers(way, &missing)
      guard let first = numbers.first, let last = numbers.last else { continue }
      var name = way.joined(separator: " ")
      if way.count == 1 { name = try stated(name)?.name ?? prefix + name }
      let factor = Int(way[0]) ?? 1
      let dim = try checked(
        way.count == 1 ? first : way.contains("/") ? factor * first / last : first + last, name)
      guard let given, given != dim else { return dim }
      throw .invalidField(
        field: name, found: "\(dim)",
        expected: "\(given), the head dim given"
          + (isPart ? "; the model turns a part at the end of each head" : ""))
    }
    if let given { return try checked(given, "the head dim given") }
    throw .invalidField(field: missing, found: "missing", expected: "a whole number above 0")
  }

  /// The numbers of one way to say a head dim, `a`, `a / b`, `2 * a / b` or `a + b`; none where one is
  /// missing.
  private func numbers(_ way: [String], _ missing: inout String) throws(EmbedError) -> [Int] {
    // A division's parts are sizes of the whole layer; only a head dim itself has a head's limit.
    let limit = way.count == 1 ? RotaryEmbedding.maximumHeadDim : Int(Int32.max)
    var numbers: [Int] = []
    for name in way where name.count > 1 {
      guard let number = try length(name, limit: limit) else {
        missing = try stated(name)?.name ?? prefix + name
        return []
      }
      numbers.append(number)
    }
    return numbers
  }

  private func checked(_ dim: Int, _ name: String) throws(EmbedError) -> Int {
    guard dim > 0, dim <= RotaryEmbedding.maximumHeadDim else {
      throw .invalidField(
        field: name, found: "\(dim)",
        expected: "a head dim of 1...\(RotaryEmbedding.maximumHeadDim)")
    }
    return dim
  }

  /// The elements of a head that are rotated.
  func rotaryDim(
    _ fields: RotaryFields, _ scheme: any PublishedScaling.Type, headDim: Int
  ) throws(EmbedError) -> Int {
    var field = "\(fields.name).partial_rotary_factor"
    if scheme.keepsWholeHead { return try even(headDim, field: "head_dim", of: headDim) }
    let isInside = fields.object["partial_rotary_factor"].map { $0 != .null } ?? false
    let beside = try stated("partial_rotary_factor")
    let factor = try fields.statedPartialRotaryFactor()
    let isUnsaid = !isInside && (beside == nil || beside?.value == .null)
    if let name = model.string("rotary"), isUnsaid || !model.isSet("partial") {
      if let stated = try stated(name), stated.value == .null {
        throw .invalidField(
          field: stated.name, found: "null", expected: "the number of rotated elements")
      }
      if let dim = try length(name, limit: RotaryEmbedding.maximumHeadDim) {
        return try even(dim, field: prefix + name, of: headDim)
      }
    }
    guard let factor, factor != 1 else {
      // A head dim that is odd is at fault itself.
      return try even(headDim, field: try headName(), of: headDim)
    }
    let dim = Int(saturating: Double(headDim) * factor)
    if !isInside, let beside { field = beside.name }
    guard model.isSet("partial") else {
      // The type's own code turns the whole head, with no scheme; schemes' code knows the factor.
      let whole = try length("head_dim", limit: RotaryEmbedding.maximumHeadDim)
      guard
        scheme is NoScaling.Type || whole.map({ Int(saturating: Double($0) * factor) }) == headDim
      else {
        throw .invalidField(
          field: field, found: "\(factor)",
          expected: "1: model type \(model.type) turns \(headDim) elements")
      }
      return try even(headDim, field: try headName(), of: headDim)
    }
    return try even(dim, field: field, of: headDim)
  }

  private func headName() throws(EmbedError) -> String {
    if try value("head_dim") != nil { return try stated("head_dim")?.name ?? prefix + "head_dim" }
    return "hidden_size / num_attention_heads"
  }

  private func even(_ dim: Int, field: String, of headDim: Int) throws(EmbedError) -> Int {
    guard dim > 0, dim <= headDim, dim.isMultiple(of: 2) else {
      throw .invalidField(
        field: field, found: dim == headDim ? "\(dim)" : "\(dim) rotated elements",
        expected: dim == headDim
          ? "an even head dim" : "an even number of at most the head dim, \(headDim)")
    }
    return dim
  }

  /// Which coordinate turns which pair.
  func axes(_ fields: RotaryFields, name: String, pairs: Int) throws(EmbedError) -> RotaryAxes? {
    guard case .object(let members) = model.value("axes"), let kind = members.first else {
      let isGeneric = model.type.isEmpty
      if name == "axial", isGeneric { return .axial(count: 2) }
      guard let sections = try fields.counts("mrope_section") else { return nil }
      guard isGeneric else {
        throw fields.fault(
          "mrope_section", "\(sections)", "nothing: model type \(model.type) has one coordinate")
      }
      let isInterleaved = try fields.bool("mrope_interleaved") ?? false
      return try Self.sections(
        isInterleaved ? "interleaved" : "sections", sections, fields, pairs: pairs)
    }
    switch (kind.key, kind.value) {
    case ("axial", .integer(let count)): return .axial(count: count)
    case ("blocks", .integer(let count)): return .axialBlocks(count: count)
    case ("turns", .integer(let count)): return .alternating(count: count)
    default: break
    }
    var sections: [Int] = []
    if case .array(let values) = kind.value {
      for case .integer(let count) in values { sections.append(count) }
    }
    sections = try fields.counts("mrope_section") ?? sections
    if try fields.bool("mrope_interleaved") == true, kind.key == "sections" {
      throw fields.fault(
        "mrope_interleaved", "true", "false: model type \(model.type) has consecutive sections")
    }
    return try Self.sections(kind.key, sections, fields, pairs: pairs)
  }

  private static func sections(
    _ kind: String, _ sections: [Int], _ fields: RotaryFields, pairs: Int
  ) throws(EmbedError) -> RotaryAxes {
    let axes: RotaryAxes =
      switch kind {
      case "interleaved": .interleavedSections(sections)
      case "alternating": .alternatingSections(sections)
      default: .sections(sections)
      }
    do throws(EmbedError) {
      _ = try axes.coordinates(pairs: pairs)
    } catch {
      throw fields.fault("mrope_section", "\(sections)", "sections that fit \(pairs) pairs")
    }
    return axes
  }

  /// Which elements form a pair.
  func layout(_ given: RotaryLayout?) throws(EmbedError) -> RotaryLayout {
    if let given { return given }
    if model.value("rope_interleave") != nil || model.type.isEmpty,
      let value = try value("rope_interleave")
    {
      guard case .bool(let isInterleaved) = value else {
        throw fault("rope_interleave", value.summary, "true or false")
      }
      return isInterleaved ? .interleaved : .halves
    }
    guard !isUnknown else {
      throw fault(
        "model_type", members["model_type"]?.summary ?? "null",
        unknownType("is given its layout of pairs"))
    }
    return model.string("pairs") == "interleaved" ? .interleaved : .halves
  }

  func unknownType(_ condition: String) -> String {
    "a model type that is known, or a file that \(condition)"
  }

  static func positive(_ field: String, _ value: JSONValue) throws(EmbedError) -> Double {
    guard let number = value.double, number.isFinite, number > 0 else {
      throw .invalidField(
        field: field, found: value.double.map { "\($0)" } ?? value.summary,
        expected: "a finite number above 0")
    }
    return number
  }
}
