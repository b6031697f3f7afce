"""This file holds what a kernel does with memory that is not Python's: load, fetch ahead, copy, call."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from scoring.prefetch import emit_prefetch

WORD, BYTE = ir.IntType(64), ir.IntType(8)


@intrinsic
def load_word(_context: Any, address: Any) -> Any:
    """Read the int64 at an address."""

    def emit(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], WORD.as_pointer()))

    return types.int64(types.int64), emit


@intrinsic
def load_half(_context: Any, address: Any) -> Any:
    """Read the int32 at an address."""

    def emit(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        half = builder.load(builder.inttoptr(arguments[0], ir.IntType(32).as_pointer()))
        return builder.sext(half, WORD)

    return types.int64(types.int64), emit


@intrinsic
def load_byte(_context: Any, address: Any) -> Any:
    """Read the uint8 at an address."""

    def emit(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.load(builder.inttoptr(arguments[0], BYTE.as_pointer())), WORD)

    return types.int64(types.int64), emit


@intrinsic
def fetch(_context: Any, address: Any) -> Any:
    """Begin to fetch the cache line of an address; any address is allowed, nothing is read."""

    def emit(target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        emit_prefetch(builder, builder.inttoptr(arguments[0], cgutils.voidptr_t))
        return target.get_dummy_value()

    return types.void(types.int64), emit


@intrinsic
def copy_bytes(_context: Any, to: Any, source: Any, size: Any) -> Any:
    """Copy `size` bytes from one address to another; they do not overlap."""

    def emit(target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        to_pointer, from_pointer = (builder.inttoptr(one, BYTE.as_pointer()) for one in arguments[:2])
        cgutils.raw_memcpy(builder, to_pointer, from_pointer, arguments[2], 1)
        return target.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


@intrinsic
def call(_context: Any, function: Any, *given: Any) -> Any:
    """
    Call a C function with whole numbers or pointers; answer what it returns as int64.

    What is narrower than 64 bits has rubbish above. No more than six: on some machines others travel otherwise.
    """
    assert len(given) <= 6, given

    def emit(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(WORD, [WORD] * len(given))
        pointer = builder.inttoptr(arguments[0], kind.as_pointer())
        return builder.call(pointer, cgutils.unpack_tuple(builder, arguments[1], len(given)))

    return types.int64(types.int64, types.StarArgTuple.from_types([types.int64] * len(given))), emit
