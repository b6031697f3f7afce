"""This file holds the decorator for the small functions of a kernel that only borrow their arrays."""

import numba

# Without numba's reference counts: a function with several returns pays two locked additions for every array
# it is lent, and for each array of a tuple; the scan of a message took more than ten times as long with them.
# Such a function must not make arrays; numba refuses to compile one that does.
# Only kernels call it: no wrapper for Python is compiled, and the kernels' own cache holds all of it.
borrowing = numba.njit(
    nogil=True,
    error_model="numpy",
    fastmath=False,
    _nrt=False,
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)
