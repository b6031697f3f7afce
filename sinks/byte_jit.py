"""
This file holds the decorators for kernels that write bytes and allocate nothing.

Without numba's runtime (`_nrt`) no references to arrays are counted. Counting took two thirds of the time to
render a profile: an atomic step for each array at each call, inlined or not.
"""

from collections.abc import Callable
from typing import Any

import numba

import scoring.jit  # noqa: F401, it decides where compiled kernels are kept


def byte_kernel(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a kernel the way scoring.jit.kernel does; inside, nothing may allocate."""
    return numba.njit(signature, nogil=True, error_model="numpy", fastmath=False, cache=True, _nrt=False)


# For the small functions that byte kernels call.
byte_inlined = numba.njit(nogil=True, error_model="numpy", fastmath=False, forceinline=True, _nrt=False)
