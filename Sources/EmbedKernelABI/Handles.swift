// Objects behind handles. A handle keeps its object alive; a call holds the object for as long as it runs,
// so that another thread may destroy the handle meanwhile.

internal import CEmbedKernel
internal import EmbedKernel

/// An object that a handle may name.
protocol Handled: AnyObject {
  /// Tells handles of one kind from those of others; above 0.
  static var kind: UInt32 { get }
}

/// A new handle for `object`.
func makeHandle<Object: Handled>(_ object: Object) throws -> OpaquePointer {
  let kept = unsafe Unmanaged.passRetained(object)
  guard let handle = unsafe ekc_handle_make(kept.toOpaque(), Object.kind) else {
    unsafe kept.release()
    throw EmbedError.outOfMemory(bytes: 64)
  }
  return OpaquePointer(handle)
}

/// The object of a handle.
@inline(__always)
func object<Object: Handled>(
  _ handle: OpaquePointer?, _ name: StaticString
) throws -> Object {
  ekc_handles_lock()
  defer { ekc_handles_unlock() }
  guard let found = unsafe ekc_handle_find(UnsafeRawPointer(handle), Object.kind) else {
    throw CallError.handle("\(name)")
  }
  return unsafe Unmanaged<Object>.fromOpaque(found).takeUnretainedValue()
}

/// The object of a handle that there may be.
func optionalObject<Object: Handled>(
  _ handle: OpaquePointer?, _ name: StaticString
) throws -> Object? {
  unsafe handle == nil ? nil : try unsafe object(handle, name)
}

/// Ends a handle; what it names lives on where something else uses it.
func destroy<Object: Handled>(_ handle: OpaquePointer?, _ type: Object.Type) {
  guard let handle = unsafe handle,
    let found = unsafe ekc_handle_remove(UnsafeRawPointer(handle), Object.kind)
  else { return }
  unsafe Unmanaged<Object>.fromOpaque(found).release()
}
