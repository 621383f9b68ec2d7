internal import COpenBLAS
internal import CMicrokernels
public func probe() -> Int32 { openblas_get_num_threads() + ek_probe() + Int32(LAPACK_ROW_MAJOR) }
