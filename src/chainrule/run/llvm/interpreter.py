"""What machine code knows of the interpreter: functions that it calls, and where arrays lie.

It needs CPython with its lock on a 64-bit machine, and says so: ``available()``.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import sysconfig
from typing import Any

import numpy as np

WORD = 8

# CPython's functions that the code calls: name, result, arguments.
_PYTHON = {
    "PyMem_RawMalloc": "ptr (i64)",
    "PyMem_RawFree": "void (ptr)",
    "PyEval_SaveThread": "ptr ()",
    "PyEval_RestoreThread": "void (ptr)",
    "Py_IncRef": "void (ptr)",
    "Py_DecRef": "void (ptr)",
    "PyFloat_AsDouble": "double (ptr)",
    "PyFloat_FromDouble": "ptr (double)",
    "PyLong_AsLongLongAndOverflow": "i64 (ptr, ptr)",
    "PyLong_FromLongLong": "ptr (i64)",
    "PyBool_FromLong": "ptr (i64)",
    "PyTuple_Size": "i64 (ptr)",
    "PyTuple_GetItem": "ptr (ptr, i64)",
    "PyTuple_New": "ptr (i64)",
    "PyTuple_SetItem": "i32 (ptr, i64, ptr)",
    "PyList_Size": "i64 (ptr)",
    "PyList_GetItem": "ptr (ptr, i64)",
    "PyList_New": "ptr (i64)",
    "PyList_SetItem": "i32 (ptr, i64, ptr)",
    "PyDict_Size": "i64 (ptr)",
    "PyDict_Next": "i32 (ptr, ptr, ptr, ptr)",
    "PyDict_New": "ptr ()",
    "PyDict_SetItem": "i32 (ptr, ptr, ptr)",
    "PyObject_RichCompareBool": "i32 (ptr, ptr, i32)",
    "PyObject_CallOneArg": "ptr (ptr, ptr)",
}
# NumPy's, by their places in the table of its C interface, which never change.
_NUMPY = {
    "PyArray_Scalar": (60, "ptr (ptr, ptr, ptr)"),
    "PyArray_ScalarAsCtype": (62, "void (ptr, ptr)"),
    "PyArray_NewCopy": (85, "ptr (ptr, i32)"),
    "PyArray_Empty": (184, "ptr (i32, ptr, ptr, i32)"),
}
SIGNATURES = {**_PYTHON, **{name: text for name, (_, text) in _NUMPY.items()}}
FUNCTIONS = {name: k for k, name in enumerate(SIGNATURES)}
# Where an array keeps its parts; the C interface promises it.
TYPE, DATA, NDIM, SHAPE, DTYPE, FLAGS = 8, 16, 24, 32, 56, 64
WANTED_FLAGS = 0x0001 | 0x0100  # one row after the other, aligned


@functools.cache
def addresses() -> Any:
    """Addresses of the functions, in the order of ``FUNCTIONS``."""
    from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    start = get(_multiarray_umath._ARRAY_API, None)
    size = 1 + max(place for place, _ in _NUMPY.values())
    known = (ctypes.c_void_p * size).from_address(start)
    found = [ctypes.cast(getattr(ctypes.pythonapi, n), ctypes.c_void_p).value for n in _PYTHON]
    found += [known[place] for place, _ in _NUMPY.values()]
    return np.array(found, np.uintp)


@functools.cache
def available() -> bool:
    """Whether calls can be made this way here: objects lie in memory as this file says."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != WORD:
        return False
    if sysconfig.get_config_var("Py_GIL_DISABLED") or sys.byteorder != "little":
        return False
    try:
        addresses()
        return all(map(_laid_out, (np.ones((2, 3)), np.ones((3, 2), np.float32).T, np.ones(()))))
    except Exception:  # whatever is different here, calls are made in the usual way
        return False


def _laid_out(array: Any) -> bool:
    """Whether the parts of an array are where we look for them."""

    def word(offset: int, kind: Any = ctypes.c_size_t) -> int:
        return int(kind.from_address(id(array) + offset).value)

    shape = (ctypes.c_ssize_t * array.ndim).from_address(word(SHAPE)) if array.ndim else ()
    contiguous = array.flags.c_contiguous and array.flags.aligned
    return (
        word(TYPE) == id(np.ndarray)
        and word(DATA) == array.__array_interface__["data"][0]
        and word(NDIM, ctypes.c_int) == array.ndim
        and tuple(shape) == array.shape
        and word(DTYPE) == id(array.dtype)
        and (word(FLAGS, ctypes.c_int) & WANTED_FLAGS == WANTED_FLAGS) == contiguous
    )
