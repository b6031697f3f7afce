"""This file tells the CPU what a kernel will read soon: users lie anywhere in memory, and waiting costs most."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

_READ_AND_KEEP = (0, 3, 1)  # llvm.prefetch: for reading, into the nearest cache, data


def emit_prefetch(builder: Any, pointer: Any) -> None:
    """Have an intrinsic emit the instruction for a pointer to bytes."""
    numbers = [ir.Constant(ir.IntType(32), number) for number in _READ_AND_KEEP]
    kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, *[ir.IntType(32)] * 3])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [pointer, *numbers])


@intrinsic
def prefetch(_context: Any, array: Any, place: Any) -> Any:
    """Begin to fetch the cache line of element `place`, counted flat; any place is allowed, nothing is read."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = make_array(signature.args[0])(context, builder, arguments[0]).data
        emit_prefetch(builder, builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t))
        return context.get_dummy_value()

    return types.void(array, types.int64), emit
