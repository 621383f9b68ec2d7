"""The records of embedkernel.h that several benchmarks fill in."""

from __future__ import annotations

import ctypes

POINTER, SIZE, I64 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64
# EK_DTYPE_...
FLOAT32, INT64 = 0, 7


class RowsSource(ctypes.Structure):
    """ek_rows_source"""

    _fields_ = [
        ("struct_size", SIZE), ("bytes", POINTER), ("byte_count", I64), ("scales", POINTER), ("scale_count", I64),
        ("rows", I64), ("dim", I64), ("rows_a_scale", I64), ("format", ctypes.c_int32), ("reserved", ctypes.c_int32),
    ]

    @classmethod
    def of(cls, address: int, size: int, rows: int, dim: int, format: int = 0) -> RowsSource:
        """Rows of a format, EK_FORMAT_..., with no scales beside them."""
        return cls(ctypes.sizeof(cls), address, size, None, 0, rows, dim, 0, format, 0)


class Layout(ctypes.Structure):
    """ek_bag_layout"""

    _fields_ = [
        ("struct_size", SIZE), ("kind", ctypes.c_int32), ("dtype", ctypes.c_int32), ("numbers", POINTER),
        ("count", I64), ("length", I64),
    ]


class Options(ctypes.Structure):
    """ek_bag_options"""

    _fields_ = [
        ("struct_size", SIZE), ("weights", POINTER), ("padding_id", I64), ("pool", ctypes.c_int32),
        ("unknown_ids", ctypes.c_int32), ("backend", ctypes.c_int32), ("threads", ctypes.c_int32),
        ("gradient_scale", ctypes.c_float), ("frequency", ctypes.c_int32), ("summation", ctypes.c_int32),
        ("writing", ctypes.c_int32),
    ]
