"""This file gives kernels the CPU's own counting of bits; a loop over bits or bytes is a branch nobody can predict."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_DEFINED_FOR_0 = ir.Constant(ir.IntType(1), 0)  # Then the answer is 64.


@intrinsic
def leading_zeros(_context: Any, word: Any) -> Any:
    """Count the zero bits above the highest one; 64 for 0."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], _DEFINED_FOR_0)

    return types.int64(types.int64), emit


@intrinsic
def trailing_zeros(_context: Any, word: Any) -> Any:
    """Count the zero bits below the lowest one; 64 for 0."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], _DEFINED_FOR_0)

    return types.int64(types.int64), emit
