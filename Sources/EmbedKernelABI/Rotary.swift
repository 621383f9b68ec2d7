// Rotary positions behind handles: from numbers or from a model's configuration.
//
// B batch, H heads, T context, D head dim.

public import CEmbedKernel
internal import EmbedKernel
internal import EmbedModels

/// A rotation, which any number of threads may use at once.
final class RotaryObject: Handled {
  static let kind: UInt32 = 3

  let rotary: RotaryEmbedding
  init(_ rotary: RotaryEmbedding) { self.rotary = rotary }
}

private func layout(_ number: Int32) throws -> RotaryLayout? {
  if number == Int32(EK_LAYOUT_MODEL) { return nil }
  return try choice(number, .halves, .interleaved, name: "layout")
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rotary_create(
  _ headDim: Int64, _ rotaryDim: Int64, _ base: Double, _ layout: Int32,
  _ rotary: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: rotary, "rotary")
    let made = try RotaryEmbedding(
      headDim: Int(headDim), rotaryDim: rotaryDim == 0 ? nil : Int(rotaryDim), base: base,
      layout: choice(layout, .halves, .interleaved, name: "layout"))
    unsafe place.pointee = try makeHandle(RotaryObject(made))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rotary_create_scaled(
  _ headDim: Int64, _ rotaryDim: Int64, _ base: Double, _ layout: Int32,
  _ scaling: UnsafePointer<ek_rotary_scaling>?, _ rotary: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: rotary, "rotary")
    let made = try RotaryEmbedding(
      headDim: Int(headDim), rotaryDim: rotaryDim == 0 ? nil : Int(rotaryDim), base: base,
      layout: choice(layout, .halves, .interleaved, name: "layout"),
      scaling: unsafe EmbedKernelABI.scaling(required(scaling, "scaling")))
    unsafe place.pointee = try makeHandle(RotaryObject(made))
  }
}

/// So many bytes of UTF-8.
func text(
  _ characters: UnsafePointer<CChar>?, _ length: Int, _ name: StaticString
) throws -> String {
  guard length >= 0 else {
    throw EmbedError.invalidSize(
      argument: "length of \(name)", value: length, expected: "0 or more")
  }
  let bytes = try unsafe readable(characters, length, name)
  guard
    let text = unsafe String(
      validating: UnsafeRawBufferPointer(bytes).bindMemory(to: UInt8.self), as: UTF8.self)
  else { throw CallError.text("\(name)") }
  return text
}

private func make(
  _ json: String, _ layerType: UnsafePointer<CChar>?, _ layout: Int32, _ headDim: Int64
) throws -> OpaquePointer {
  guard headDim >= 0 else {
    throw EmbedError.invalidSize(
      argument: "head_dim", value: Int(headDim), expected: "0 or more")
  }
  let configuration = try RotaryConfiguration(
    json: json, layerType: unsafe layerType == nil ? nil : try unsafe text(layerType, "layer_type"),
    layout: try EmbedKernelABI.layout(layout), headDim: headDim == 0 ? nil : Int(headDim))
  return unsafe try makeHandle(RotaryObject(RotaryEmbedding(configuration)))
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rotary_from_config(
  _ json: UnsafePointer<CChar>?, _ length: Int, _ layerType: UnsafePointer<CChar>?,
  _ layout: Int32, _ headDim: Int64, _ rotary: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: rotary, "rotary")
    unsafe place.pointee = try make(text(json, length, "json"), layerType, layout, headDim)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rotary_from_config_file(
  _ path: UnsafePointer<CChar>?, _ layerType: UnsafePointer<CChar>?, _ layout: Int32,
  _ headDim: Int64, _ rotary: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: rotary, "rotary")
    let json = unsafe try TextFile.read(text(path, "path"))
    unsafe place.pointee = try make(json, layerType, layout, headDim)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rotary_layer_types(
  _ json: UnsafePointer<CChar>?, _ length: Int, _ memory: UnsafeMutablePointer<CChar>?,
  _ capacity: Int, _ needed: UnsafeMutablePointer<Int>?
) -> Int32 {
  attempt {
    let types = try RotaryConfiguration.layerTypes(json: unsafe text(json, length, "json"))
    try unsafe give(types.joined(separator: "\n"), memory, capacity, needed, "text")
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rotary_get(
  _ rotary: OpaquePointer?, _ info: UnsafeMutablePointer<ek_rotary_info>?
) -> Int32 {
  attempt {
    let found: RotaryObject = try unsafe object(rotary, "rotary")
    let place = try unsafe place(of: info, "info")
    let rotary = found.rotary
    unsafe place.pointee = ek_rotary_info(
      head_dim: Int64(rotary.headDim), rotary_dim: Int64(rotary.rotaryDim), base: rotary.base,
      layout: Int32(rotary.layout == .halves ? EK_LAYOUT_HALVES : EK_LAYOUT_INTERLEAVED),
      axes: Int32(rotary.axes?.count ?? 1), turns_backward: rotary.turn == .backward ? 1 : 0,
      reserved: 0, attention_factor: try rotary.frequencies().attentionFactor)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rotate(
  _ rotary: OpaquePointer?, _ input: UnsafeRawPointer?, _ output: UnsafeMutableRawPointer?,
  _ dtype: Int32, _ batch: Int64, _ heads: Int64, _ context: Int64,
  _ options: UnsafePointer<ek_rotate_options>?
) -> Int32 {
  attempt {
    let found: RotaryObject = try unsafe object(rotary, "rotary")
    let type = try elementType(dtype, "dtype")
    let call = try unsafe rotation(
      found.rotary, batch: Int(batch), heads: Int(heads), context: Int(context), options)
    switch type {
    case .float32: try unsafe call.run(input, output, as: Float.self)
    case .float16: try unsafe call.run(input, output, as: Half.self)
    case .bfloat16: try unsafe call.run(input, output, as: BFloat16.self)
    }
  }
}

private func rotation(
  _ rotary: RotaryEmbedding, batch: Int, heads: Int, context: Int,
  _ options: UnsafePointer<ek_rotate_options>?
) throws -> RotationCall {
  var shape = RotaryShape(batch: batch, heads: heads, context: context, headDim: rotary.headDim)
  guard let options = unsafe options else {
    return unsafe RotationCall(
      rotary: rotary, shape: shape, direction: .forward, kernels: try kernels(0, 0),
      place: .sequential(), coordinates: nil, scale: nil)
  }
  let given = try unsafe required(options, "options")
  shape.order = try unsafe choice(given.order, .headsFirst, .contextFirst, name: "order")
  let length = try unsafe count(given.length, "length")
  return unsafe RotationCall(
    rotary: rotary, shape: shape,
    direction: try choice(given.direction, .forward, .backward, name: "direction"),
    kernels: try kernels(given.backend, given.threads),
    place: given.coordinates == nil
      ? try positionIDs(given.place, batch: batch, context: context) : .sequential(),
    coordinates: given.coordinates,
    scale: length == 0 ? nil : rotary.scaling.scale(length: length))
}

@safe private struct RotationCall {
  let rotary: RotaryEmbedding
  let shape: RotaryShape
  let direction: RotaryDirection
  let kernels: Kernels
  let place: PositionIDs
  let coordinates: UnsafePointer<Int32>?
  let scale: RotaryScale?

  func run<Element: TableElement>(
    _ input: UnsafeRawPointer?, _ output: UnsafeMutableRawPointer?, as type: Element.Type
  ) throws {
    let vectors = try product("tensor", shape.batch, shape.heads, shape.context)
    let count = try product("tensor", vectors, shape.headDim)
    let input = try unsafe readable(
      input?.assumingMemoryBound(to: type), count, "input")
    let output = try unsafe writable(output?.assumingMemoryBound(to: type), count, "output")
    if let coordinates = unsafe coordinates {
      let axes = rotary.axes?.count ?? 1
      let given = try unsafe readable(
        coordinates, product("coordinates", axes, shape.batch, shape.context), "coordinates")
      try unsafe rotary.rotate(
        input, shape: shape, coordinates: given, direction, into: output, using: kernels)
    } else {
      try unsafe rotary.rotate(
        input, shape: shape, at: place, under: scale, direction, into: output, using: kernels)
    }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rotary_rows(
  _ rotary: OpaquePointer?, _ first: Int64, _ count: Int64,
  _ cosines: UnsafeMutablePointer<Float>?, _ sines: UnsafeMutablePointer<Float>?
) -> Int32 {
  attempt {
    let found: RotaryObject = try unsafe object(rotary, "rotary")
    let count = try EmbedKernelABI.count(count, "count")
    let elements = try product("rows", count, found.rotary.pairs)
    let cosineRows = try unsafe writable(cosines, elements, "cosines")
    let sineRows = try unsafe writable(sines, elements, "sines")
    let rows = try found.rotary.rows(first: Int(first), count: count)
    _ = unsafe cosineRows.update(fromContentsOf: rows.cosines)
    _ = unsafe sineRows.update(fromContentsOf: rows.sines)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_rotary_destroy(_ rotary: OpaquePointer?) {
  unsafe destroy(rotary, RotaryObject.self)
}
