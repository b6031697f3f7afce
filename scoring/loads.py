"""
This file reads and writes bytes in large pieces inside kernels, where an index is a check and a byte each time.

No place is checked. Text that is read here has PADDING behind it (scoring/joined.py), and a walk ends at the zero byte
that ends a message.
"""

import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from scoring.events import Bytes

BYTE = ir.IntType(8)
LOOK_BYTES = 32  # `stop_bits` looks at so many.
_QUOTE, _BACKSLASH, _SPACE = 34, 92, 32


def load_word(source: Bytes, at: int) -> np.uint64:
    """Read 8 bytes, the first lowest; 8 must be there."""
    return np.uint64(int.from_bytes(source[at : at + 8].tobytes(), "little"))


@overload(load_word, strict=False)  # The implementation has no annotations to compare.
def _load_word_compiled(source: Any, at: Any) -> Any:
    """Make it one instruction: built from 8 indexed bytes it was eight loads, each with its index check."""
    assert sys.byteorder == "little", sys.byteorder
    return lambda source, at: _load_unaligned(source, at)


def _pointer(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
    """Answer the pointer to a byte of an array."""
    data = context.make_array(signature.args[0])(context, builder, operands[0]).data
    return builder.gep(data, [operands[1]])


@intrinsic
def _load_unaligned(_context: Any, source: Any, at: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        pointer = _pointer(context, builder, signature, operands)
        return builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(source, types.int64), emit


@intrinsic
def store_word(_context: Any, out: Any, at: Any, word: Any) -> Any:
    """Write 8 bytes, the lowest first; 8 must be there."""

    def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        pointer = _pointer(context, builder, signature, operands)
        builder.store(operands[2], builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(out, types.int64, types.int64), emit


@intrinsic
def byte_at(_context: Any, source: Any, at: Any) -> Any:
    """Read one byte."""

    def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        return builder.zext(builder.load(_pointer(context, builder, signature, operands)), ir.IntType(64))

    return types.int64(source, types.int64), emit


@intrinsic
def stop_bits(_context: Any, source: Any, at: Any) -> Any:
    """Mark those of the next LOOK_BYTES, the first lowest, that are no printable ASCII, or a quote or backslash."""

    def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        vector = ir.VectorType(BYTE, LOOK_BYTES)
        pointer = _pointer(context, builder, signature, operands)
        looked_at = builder.load(builder.bitcast(pointer, vector.as_pointer()), align=1)

        def all_of(byte: int) -> Any:
            return ir.Constant(vector, [byte] * LOOK_BYTES)

        stops = builder.icmp_signed("<", looked_at, all_of(_SPACE))  # Bytes beyond ASCII are negative.
        for byte in (_QUOTE, _BACKSLASH):
            stops = builder.or_(stops, builder.icmp_unsigned("==", looked_at, all_of(byte)))
        bits = builder.bitcast(stops, ir.IntType(LOOK_BYTES))
        return builder.zext(bits, ir.IntType(64))

    return types.int64(source, types.int64), emit
