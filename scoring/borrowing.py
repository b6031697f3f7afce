"""
This file holds the decorators for functions of kernels, and for kernels, that only borrow their arrays.

Without numba's reference counts (`_nrt`): a function with several returns pays two locked additions for every array it
is lent, and for each array of a tuple; the scan of a message took more than ten times as long with them. Such a
function must not make arrays; numba refuses to compile one that does.
"""

from collections.abc import Callable
from typing import Any

import numba

import scoring.jit  # noqa: F401, it decides where compiled kernels are kept

_BORROWING: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False, "_nrt": False}
# Only kernels call them: no wrapper for Python is compiled, and the kernels' own cache holds all of it.
_NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

borrowing = numba.njit(**_BORROWING, **_NO_WRAPPERS)

# For what every message goes through: each call copies all arrays of its tuples, some hundred words.
inlined = numba.njit(**_BORROWING, **_NO_WRAPPERS, forceinline=True)


def borrowing_kernel(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a kernel the way scoring.jit.kernel does; inside, nothing may make arrays."""
    return numba.njit(signature, cache=True, **_BORROWING)
