// Files, text and windows through C, and back.

import CEmbedKernel
import EmbedKernel
import EmbedKernelABI
import TestSupport
import Testing

@Suite struct FileTests {
  private func string(_ text: UnsafePointer<CChar>?) -> String {
    unsafe text.map { unsafe String(cString: $0) } ?? ""
  }

  @Test func tensorsComeBack() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("a.safetensors")
    let values = numbers(6, seed: 1)
    let ids: [Int64] = [1, 2, 3]
    let shapes: [Int64] = [2, 3, 3]
    unsafe values.withUnsafeBytes { values in
      unsafe ids.withUnsafeBytes { ids in
        unsafe shapes.withUnsafeBufferPointer { shapes in
          unsafe "wte".withCString { wte in
            unsafe "ids".withCString { name in
              let third = unsafe shapes.baseAddress.unsafelyUnwrapped + 2
              let tensors = unsafe [
                ek_tensor(
                  name: wte, dtype: Int32(EK_DTYPE_FLOAT32), rank: 2, shape: shapes.baseAddress,
                  data: values.baseAddress, bytes: 24, dtype_name: nil),
                ek_tensor(
                  name: name, dtype: Int32(EK_DTYPE_INT64), rank: 1,
                  shape: third, data: ids.baseAddress, bytes: 24,
                  dtype_name: nil),
              ]
              let pair: [UnsafePointer<CChar>?] = unsafe [wte, name]
              expectOK(unsafe ek_safetensors_write(path, tensors, 2, pair, 1))
              var wrong = unsafe tensors
              unsafe wrong[0].bytes = 20
              let told = expectFault(
                EK_ERROR_WRONG_ELEMENT_COUNT, unsafe ek_safetensors_write(path, wrong, 2, nil, 0))
              #expect((told.value, told.bound) == (20, 24))
            }
          }
        }
      }
    }
    var file: OpaquePointer?
    expectOK(unsafe ek_safetensors_open(path, &file))
    var count: Int64 = 0
    expectOK(unsafe ek_safetensors_count(file, &count))
    #expect(count == 2)
    var tensor = unsafe ek_tensor()
    expectOK(unsafe ek_safetensors_find(file, "wte", &tensor))
    #expect(unsafe string(tensor.dtype_name) == "F32")
    #expect(unsafe (tensor.rank, tensor.shape[0], tensor.shape[1], tensor.bytes) == (2, 2, 3, 24))
    let data = unsafe tensor.data.unsafelyUnwrapped.assumingMemoryBound(to: Float.self)
    #expect(unsafe Array(UnsafeBufferPointer(start: data, count: 6)) == values)
    let missing = expectFault(
      EK_ERROR_MISSING_TENSOR, unsafe ek_safetensors_find(file, "wpe", &tensor))
    #expect(missing.argument == "wpe" && missing.path == path)
    expectFault(EK_ERROR_INDEX_OUT_OF_RANGE, unsafe ek_safetensors_tensor(file, 2, &tensor))
    var (key, value): (UnsafePointer<CChar>?, UnsafePointer<CChar>?) = (nil, nil)
    expectOK(unsafe ek_safetensors_metadata(file, 0, &key, &value))
    #expect(unsafe (string(key), string(value)) == ("wte", "ids"))
    unsafe ek_safetensors_destroy(file)
    let absent = expectFault(
      EK_ERROR_FILE_NOT_FOUND, unsafe ek_safetensors_open(path + "x", &file))
    #expect(absent.path == path + "x")
    #expect(unsafe ek_last_error().pointee.system_code == 2)
  }

  @Test func shardsAreOneFile() throws {
    let folder = try TemporaryFolder()
    let values = numbers(2, seed: 5)
    let shape: [Int64] = [2]
    unsafe values.withUnsafeBytes { values in
      unsafe shape.withUnsafeBufferPointer { shape in
        for name in ["a", "b"] {
          unsafe name.withCString { text in
            var tensor = unsafe ek_tensor(
              name: text, dtype: Int32(EK_DTYPE_FLOAT32), rank: 1, shape: shape.baseAddress,
              data: values.baseAddress, bytes: 8, dtype_name: nil)
            expectOK(
              unsafe ek_safetensors_write(folder.path("\(name).safetensors"), &tensor, 1, nil, 0))
          }
        }
      }
    }
    func index(_ map: String) throws -> String {
      try folder.file("model.safetensors.index.json", "{\"weight_map\": {\(map)}}")
    }
    var file: OpaquePointer?
    var tensor = unsafe ek_tensor()
    let path = try index("\"b\": \"b.safetensors\", \"a\": \"a.safetensors\"")
    expectOK(unsafe ek_safetensors_open(path, &file))
    expectOK(unsafe ek_safetensors_tensor(file, 0, &tensor))
    #expect(unsafe string(tensor.name) == "b")
    let missing = expectFault(
      EK_ERROR_MISSING_TENSOR, unsafe ek_safetensors_find(file, "c", &tensor))
    #expect(missing.path == path)
    unsafe ek_safetensors_destroy(file)
    let absent = try index("\"c\": \"a.safetensors\"")
    expectFault(EK_ERROR_MISSING_TENSOR, unsafe ek_safetensors_open(absent, &file))
    let outside = try index("\"a\": \"../a.safetensors\"")
    expectFault(EK_ERROR_MODEL, unsafe ek_safetensors_open(outside, &file))
  }

  @Test func truthValuesComeBack() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("b.npy")
    let values: [UInt8] = [1, 0, 1]
    expectOK(unsafe ek_npy_write(path, values, Int32(EK_DTYPE_BOOL), 1, [3] as [Int64]))
    var (file, array): (OpaquePointer?, ek_tensor) = unsafe (nil, ek_tensor())
    expectOK(unsafe ek_npy_open(path, &file, &array))
    #expect(unsafe (array.dtype, array.bytes) == (Int32(EK_DTYPE_BOOL), 3))
    let data = unsafe array.data.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)
    #expect(unsafe Array(UnsafeBufferPointer(start: data, count: 3)) == values)
    unsafe ek_npy_destroy(file)
  }

  @Test func arraysComeBack() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("a.npy")
    let values = numbers(6, seed: 2)
    expectOK(
      unsafe ek_npy_write(path, values, Int32(EK_DTYPE_FLOAT32), 2, [3, 2] as [Int64]))
    var file: OpaquePointer?
    var array = unsafe ek_tensor()
    expectOK(unsafe ek_npy_open(path, &file, &array))
    #expect(unsafe (array.rank, array.shape[0], array.shape[1]) == (2, 3, 2))
    let data = unsafe array.data.unsafelyUnwrapped.assumingMemoryBound(to: Float.self)
    #expect(unsafe Array(UnsafeBufferPointer(start: data, count: 6)) == values)
    unsafe ek_npy_destroy(file)
    expectFault(
      EK_ERROR_INVALID_SIZE,
      unsafe ek_npy_write(path, values, Int32(EK_DTYPE_FLOAT32), 1, [-1] as [Int64]))
  }

  @Test func bytesAreTokens() {
    var tokenizer: OpaquePointer?
    expectOK(unsafe ek_tokenizer_open(nil, &tokenizer))
    var ids = [Int32](repeating: 0, count: 5)
    var count: Int64 = 0
    let short = expectFault(
      EK_ERROR_BUFFER_TOO_SMALL,
      unsafe ek_tokenizer_encode(tokenizer, "hello", 5, 0, &ids, 4, &count))
    #expect((short.value, count) == (5, 5))
    expectOK(unsafe ek_tokenizer_encode(tokenizer, "hello", 5, 0, &ids, 5, &count))
    #expect(ids == [104, 101, 108, 108, 111])
    ids = [Int32](repeating: 0, count: 5)
    expectOK(unsafe ek_tokenizer_encode_threads(tokenizer, "hello", 5, 0, 0, &ids, 5, &count))
    #expect(ids == [104, 101, 108, 108, 111] && count == 5)
    let negative = expectFault(
      EK_ERROR_INVALID_SIZE,
      unsafe ek_tokenizer_encode_threads(tokenizer, "hello", 5, 0, -1, &ids, 5, &count))
    #expect((negative.argument, negative.value) == ("threads", -1))
    var text = [CChar](repeating: 0, count: 6)
    var length = 0
    expectOK(
      unsafe ek_tokenizer_decode(
        tokenizer, ids, Int32(EK_DTYPE_INT32), 5, &text, 6, &length))
    #expect(length == 5 && text[0] == 104)
    let told = expectFault(
      EK_ERROR_UNKNOWN_TOKEN,
      unsafe ek_tokenizer_decode(
        tokenizer, [1, 300] as [Int64], Int32(EK_DTYPE_INT64), 2, &text, 6, &length))
    #expect((told.position, told.value) == (1, 300))
    unsafe ek_tokenizer_destroy(tokenizer)
  }

  @Test func windowsSlide() {
    let ids: [Int64] = Array(0..<10)
    var options = ek_windows_options()
    options.struct_size = MemoryLayout<ek_windows_options>.stride
    options.context = 3
    options.batch = 2
    options.keeps_last = 1
    var windows: OpaquePointer?
    expectOK(unsafe ek_windows_over_ids(ids, Int32(EK_DTYPE_INT64), 10, &options, &windows))
    var (batches, held): (Int64, Int64) = (0, 0)
    expectOK(unsafe ek_windows_count(windows, &batches, &held))
    #expect((batches, held) == (2, 3))
    var (inputs, targets) = ([Int32](repeating: -1, count: 6), [Int32](repeating: -1, count: 6))
    var rows: Int64 = 0
    expectOK(unsafe ek_windows_fill(windows, 1, &inputs, &targets, &rows))
    #expect(rows == 1)
    #expect(inputs == [6, 7, 8, -1, -1, -1] && targets == [7, 8, 9, -1, -1, -1])
    expectFault(
      EK_ERROR_INDEX_OUT_OF_RANGE, unsafe ek_windows_fill(windows, 2, &inputs, &targets, &rows))
    unsafe ek_windows_destroy(windows)
    options.batch = 0
    expectFault(
      EK_ERROR_INVALID_SIZE,
      unsafe ek_windows_over_ids(ids, Int32(EK_DTYPE_INT64), 10, &options, &windows))
  }

  @Test func layersAreWhatTheirPartsAre() throws {
    let folder = try TemporaryFolder()
    var (tokens, positions): (OpaquePointer?, OpaquePointer?) = (nil, nil)
    expectOK(unsafe ek_table_create(7, 4, Int32(EK_DTYPE_FLOAT32), &tokens))
    expectOK(unsafe ek_table_create(3, 4, Int32(EK_DTYPE_FLOAT32), &positions))
    expectOK(unsafe ek_table_draw(tokens, Int32(EK_DRAW_NORMAL), 1, 3))
    expectOK(unsafe ek_table_draw(positions, Int32(EK_DRAW_UNIFORM), 1, 4))
    var options = unsafe ek_layer_options()
    unsafe options.struct_size = MemoryLayout<ek_layer_options>.stride
    unsafe options.tokens = tokens
    unsafe options.positions = positions
    unsafe options.scale = 1
    unsafe options.padding_id = -1
    var layer: OpaquePointer?
    expectOK(unsafe ek_layer_create(&options, &layer))
    unsafe ek_table_destroy(tokens)
    unsafe ek_table_destroy(positions)
    let ids: [Int64] = [0, 6, 1, 1, 2, 3]
    let wide = Int32(EK_DTYPE_INT64)
    var output = [Float](repeating: 0, count: 24)
    expectOK(unsafe ek_layer_forward(layer, ids, wide, 2, 3, &output, nil))

    let path = folder.path("layer.safetensors")
    expectOK(unsafe ek_layer_save(layer, path))
    var loaded: OpaquePointer?
    expectOK(unsafe ek_layer_load(path, nil, &loaded))
    var again = [Float](repeating: 0, count: 24)
    expectOK(unsafe ek_layer_forward(loaded, ids, wide, 2, 3, &again, nil))
    #expect(again == output)

    var gradient: OpaquePointer?
    expectOK(unsafe ek_layer_gradient_create(layer, &gradient))
    let given = numbers(24, seed: 5)
    expectOK(unsafe ek_layer_backward(layer, gradient, given, ids, wide, 2, 3, nil))
    var (count, dim): (Int64, Int64) = (0, 0)
    var rows: UnsafePointer<Int32>?
    var values: UnsafePointer<Float>?
    expectOK(
      unsafe ek_layer_gradient_get(
        gradient, Int32(EK_PART_TOKENS), &count, &dim, &rows, &values))
    #expect((count, dim) == (5, 4))
    #expect(unsafe Array(UnsafeBufferPointer(start: rows, count: 5)) == [0, 1, 2, 3, 6])
    for i in 0..<4 {
      #expect(unsafe values.unsafelyUnwrapped[4 + i] == given[8 + i] + given[12 + i])
    }
    var beta: OpaquePointer?
    expectOK(unsafe ek_layer_table(layer, Int32(EK_PART_BETA), &beta))
    #expect(unsafe beta == nil)
    unsafe ek_layer_gradient_destroy(gradient)
    unsafe ek_layer_destroy(layer)
    unsafe ek_layer_destroy(loaded)
  }

  @Test func rotationsTurnBack() {
    var rotary: OpaquePointer?
    expectOK(unsafe ek_rotary_create(8, 4, 10_000, Int32(EK_LAYOUT_INTERLEAVED), &rotary))
    let input = numbers(48, seed: 6)
    var output = input
    let float = Int32(EK_DTYPE_FLOAT32)
    expectOK(unsafe ek_rotate(rotary, input, &output, float, 1, 2, 3, nil))
    #expect(output[..<8] == input[..<8])
    #expect(output != input)
    var options = unsafe ek_rotate_options()
    unsafe options.struct_size = MemoryLayout<ek_rotate_options>.stride
    unsafe options.direction = Int32(EK_ROTATE_BACKWARD)
    expectOK(
      unsafe output.withUnsafeMutableBufferPointer { memory in
        unsafe ek_rotate(
          rotary, memory.baseAddress, memory.baseAddress, float, 1, 2, 3, &options)
      })
    for (a, b) in zip(output, input) { #expect(abs(a - b) < 1e-6) }
    let told = expectFault(
      EK_ERROR_INVALID_FIELD,
      unsafe ek_rotary_from_config("{\"model_type\": \"nothing\"}", 25, nil, -1, 0, &rotary))
    #expect(!told.argument.isEmpty)
    unsafe ek_rotary_destroy(rotary)
  }

  @Test func biasesAreAdded() {
    var bias: OpaquePointer?
    expectOK(unsafe ek_bias_alibi(2, nil, 0, &bias))
    var logits = [Float](repeating: 1, count: 18)
    expectOK(unsafe ek_bias_add(bias, &logits, Int32(EK_DTYPE_FLOAT32), 1, 2, 3, 3, nil))
    for h in 0..<2 {
      let slope: Float = h == 0 ? 0.0625 : 0.00390625
      for q in 0..<3 {
        for k in 0..<3 { #expect(logits[h * 9 + q * 3 + k] == 1 - slope * Float(q - k)) }
      }
    }
    expectFault(
      EK_ERROR_INVALID_SIZE,
      unsafe ek_bias_add(bias, &logits, Int32(EK_DTYPE_FLOAT32), 1, 3, 3, 2, nil))
    expectFault(EK_ERROR_UNSUPPORTED, unsafe ek_bias_set_weights(bias, logits, 18))
    unsafe ek_bias_destroy(bias)
  }
}
