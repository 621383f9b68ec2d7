// The element types as the C kernels name them.

package import CKernels

extension ElementType {
  package var code: ek_element {
    switch self {
    case .float32: EK_F32
    case .float16: EK_F16
    case .bfloat16: EK_BF16
    }
  }
}
