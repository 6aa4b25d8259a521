"""Vector instructions of the CPU kernels, as numba intrinsics in LLVM's portable vector form.

LLVM gives up on vectorising butterflies (eight streams into one array) and Philox (high halves of
products), so the vectors are explicit here: eight float32 lanes become one AVX register or two NEON
registers, whatever the machine has.

Invariant: nothing is contracted or reordered, so every machine computes the same bits.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from motive.projection.randomness import GAUSS_BITS, MULTIPLIERS, PERMUTATION_ROUNDS, ROUNDS, WEYL

LANES = 8
GROUP = 64  # elements that `signed_hadamard64` transforms: eight vectors
CODES = 32  # elements that `random_codes` serves: eight Philox counters of four words
PLACES = 16  # elements that `gather_places` serves
PLACE_BITS = 20  # the largest block is 2^20; GAUSS_BITS more make 32

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(_I32, LANES)
_MASK32 = 0xFFFFFFFF
_NUMBER = types.uint64
_instruction: Any = intrinsic  # untyped: callers leave the first argument out


def _all(kind: ir.Type, count: int, value: float) -> ir.Constant:
    """A vector of `count` equal constants."""
    return ir.Constant(ir.VectorType(kind, count), [value] * count)


def _spread(builder: Any, scalar: Any, count: int) -> Any:
    """A vector of `count` copies of a scalar."""
    empty = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
    single = builder.insert_element(empty, scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(single, empty, _all(_I32, count, 0))


class _Array:
    """Reads and writes at places of a one-dimensional contiguous numba array."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        self.builder = builder
        self.data = context.make_array(kind)(context, builder, value).data
        self.align = kind.dtype.bitwidth // 8

    def place(self, index: Any, shift: int = 0) -> Any:
        if shift:
            index = self.builder.add(index, ir.Constant(index.type, shift))
        return self.builder.gep(self.data, [index])

    def read(self, index: Any, vector: ir.VectorType, shift: int = 0) -> Any:
        pointer = self.builder.bitcast(self.place(index, shift), vector.as_pointer())
        return self.builder.load(pointer, align=self.align)

    def write(self, index: Any, value: Any, shift: int = 0) -> None:
        pointer = self.builder.bitcast(self.place(index, shift), value.type.as_pointer())
        self.builder.store(value, pointer, align=self.align)


def _across(builder: Any, rows: list[Any]) -> None:
    """Walsh-Hadamard transform between vectors, in place."""
    span = 1
    while span < len(rows):
        for low in range(len(rows)):
            if not low & span:
                a, b = rows[low], rows[low + span]
                rows[low], rows[low + span] = builder.fadd(a, b), builder.fsub(a, b)
        span *= 2


def _within(builder: Any, row: Any) -> Any:
    """Walsh-Hadamard transform of the eight lanes of one vector."""
    for span in (1, 2, 4):
        order = ir.Constant(_INTS, [lane ^ span for lane in range(LANES)])
        swapped = builder.shuffle_vector(row, ir.Constant(_FLOATS, ir.Undefined), order)
        negated = ir.Constant(_INTS, [(1 << 31) if lane & span else 0 for lane in range(LANES)])
        flipped = builder.xor(builder.bitcast(row, _INTS), negated)
        row = builder.fadd(swapped, builder.bitcast(flipped, _FLOATS))
    return row


def _butterfly(radix: int) -> Any:
    @_instruction
    def butterfly(typing: Any, data: Any, start: Any, stride: Any) -> Any:
        """One transform of length `radix` for eight neighbours, `stride` apart, in place."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = _Array(context, builder, signature.args[0], arguments[0])
            _, first, step = arguments
            places = [
                builder.add(first, builder.mul(step, ir.Constant(step.type, row)))
                for row in range(radix)
            ]
            rows = [array.read(place, _FLOATS) for place in places]
            _across(builder, rows)
            for place, row in zip(places, rows, strict=True):
                array.write(place, row)
            return context.get_dummy_value()

        return types.void(data, types.intp, types.intp), codegen

    return butterfly


butterfly2, butterfly4, butterfly8 = _butterfly(2), _butterfly(4), _butterfly(8)


def _half_to_float(builder: Any, half: Any) -> Any:
    """IEEE half bits in 32-bit lanes to float32, subnormals, infinities and NaN included."""
    body = builder.shl(builder.and_(half, _all(_I32, LANES, 0x7FFF)), _all(_I32, LANES, 13))
    scaled = builder.fmul(builder.bitcast(body, _FLOATS), _all(ir.FloatType(), LANES, 2.0**112))
    exponent = builder.and_(half, _all(_I32, LANES, 0x7C00))
    special = builder.icmp_unsigned("==", exponent, _all(_I32, LANES, 0x7C00))
    bits = builder.select(
        special,
        builder.or_(body, _all(_I32, LANES, 0x7F800000)),
        builder.bitcast(scaled, _INTS),
    )
    sign = builder.shl(builder.and_(half, _all(_I32, LANES, 0x8000)), _all(_I32, LANES, 16))
    return builder.or_(bits, sign)


def _float_bits(builder: Any, gradient: _Array, place: Any, shift: int, kind: str) -> Any:
    """The bits of eight values as float32, in 32-bit lanes."""
    if kind == "float32":
        return gradient.read(place, _INTS, shift)
    bits = builder.zext(gradient.read(place, ir.VectorType(_I16, LANES), shift), _INTS)
    if kind == "float16":
        return _half_to_float(builder, bits)
    return builder.shl(bits, _all(_I32, LANES, 16))


def _widen64(kind: str) -> Any:
    @_instruction
    def widen64(typing: Any, values: Any, source: Any, data: Any, target: Any) -> Any:
        """data[target:][:64] = values[source:][:64] as float32."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            gradient, result = (
                _Array(context, builder, signature.args[i], arguments[i]) for i in (0, 2)
            )
            for shift in range(0, GROUP, LANES):
                bits = _float_bits(builder, gradient, arguments[1], shift, kind)
                result.write(arguments[3], builder.bitcast(bits, _FLOATS), shift)
            return context.get_dummy_value()

        return types.void(values, types.intp, data, types.intp), codegen

    return widen64


def _signed_hadamard64(kind: str) -> Any:
    @_instruction
    def signed_hadamard64(
        typing: Any, values: Any, source: Any, codes: Any, data: Any, target: Any, scale: Any
    ) -> Any:
        """data[target:][:64] = H_64 (sign · scale · values[source:][:64]); codes at `target`."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            gradient, random, result = (
                _Array(context, builder, signature.args[i], arguments[i]) for i in (0, 2, 3)
            )
            _, origin, _, _, goal, factor = arguments
            factors = _spread(builder, factor, LANES)
            rows = []
            for shift in range(0, GROUP, LANES):
                bits = _float_bits(builder, gradient, origin, shift, kind)
                code = builder.zext(random.read(goal, ir.VectorType(_I16, LANES), shift), _INTS)
                sign = builder.and_(code, _all(_I32, LANES, 0x8000))
                bits = builder.xor(bits, builder.shl(sign, _all(_I32, LANES, 16)))
                rows.append(builder.fmul(builder.bitcast(bits, _FLOATS), factors))
            _across(builder, rows)
            for index, row in enumerate(rows):
                result.write(goal, _within(builder, row), index * LANES)
            return context.get_dummy_value()

        arguments = (values, types.intp, codes, data, types.intp, types.float32)
        return types.void(*arguments), codegen

    return signed_hadamard64


widen64_float32, signed_hadamard64_float32 = _widen64("float32"), _signed_hadamard64("float32")
widen64_bfloat16, signed_hadamard64_bfloat16 = _widen64("bfloat16"), _signed_hadamard64("bfloat16")
widen64_float16, signed_hadamard64_float16 = _widen64("float16"), _signed_hadamard64("float16")


def _philox(builder: Any, counter: list[Any], key: tuple[Any, Any]) -> list[Any]:
    """Philox4x32-10 in 64-bit lanes; only the low 32 bits of the result count."""
    count = counter[0].type.count
    low = _all(_I64, count, _MASK32)
    half = _all(_I64, count, 32)
    c0, c1, c2, c3 = counter
    for step in range(ROUNDS):
        # The masks cost nothing: they tell LLVM that one 32 x 32 -> 64 multiplication is enough.
        p0 = builder.mul(builder.and_(c0, low), _all(_I64, count, MULTIPLIERS[0]))
        p1 = builder.mul(builder.and_(c2, low), _all(_I64, count, MULTIPLIERS[1]))
        k0, k1 = (
            _spread(
                builder,
                builder.and_(
                    builder.add(word, ir.Constant(_I64, step * weyl & _MASK32)),
                    ir.Constant(_I64, _MASK32),
                ),
                count,
            )
            for word, weyl in zip(key, WEYL, strict=True)
        )
        c0, c2 = (
            builder.xor(builder.lshr(p1, half), builder.xor(c1, k0)),
            builder.xor(builder.lshr(p0, half), builder.xor(c3, k1)),
        )
        c1, c3 = p1, p0
    return [c0, c1, c2, c3]


def _block_words(
    context: Any, builder: Any, signature: Any, arguments: Any
) -> tuple[_Array, list[Any]]:
    """The output array, and four words of eight counters in 64-bit lanes, upper halves unclean."""
    target = _Array(context, builder, signature.args[0], arguments[0])
    given = _Array(context, builder, signature.args[4], arguments[4])
    _, _, first, number, _ = arguments
    key0, key1, name0, name1 = (
        builder.load(given.place(ir.Constant(_I64, index))) for index in range(4)
    )
    steps = ir.Constant(ir.VectorType(_I64, LANES), list(range(LANES)))
    counters = [builder.add(_spread(builder, first, LANES), steps)]
    counters += [_spread(builder, word, LANES) for word in (number, name0, name1)]
    return target, _philox(builder, counters, (key0, key1))


@_instruction
def random_codes(typing: Any, codes: Any, start: Any, counter: Any, block: Any, words: Any) -> Any:
    """Codes of 32 elements at `start`: sign in the top bit, index of the Gaussian in the low bits.

    `words` holds the halves of the seed, then those of the name's hash.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, made = _block_words(context, builder, signature, arguments)
        packed = _all(_I64, LANES, 0)
        for index, word in enumerate(made):
            high = builder.lshr(word, _all(_I64, LANES, 16))
            sign = builder.and_(high, _all(_I64, LANES, 0x8000))
            code = builder.or_(sign, builder.and_(word, _all(_I64, LANES, (1 << GAUSS_BITS) - 1)))
            # Four codes of 16 bits fill a 64-bit lane in the order of their elements.
            packed = builder.or_(packed, builder.shl(code, _all(_I64, LANES, 16 * index)))
        target.write(arguments[1], packed)
        return context.get_dummy_value()

    return types.void(codes, types.intp, _NUMBER, _NUMBER, words), codegen


@_instruction
def random_words(typing: Any, out: Any, start: Any, counter: Any, block: Any, words: Any) -> Any:
    """The whole 32-bit words of 32 elements at `start`, uint32; arguments as for `random_codes`."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, made = _block_words(context, builder, signature, arguments)
        low, half = _all(_I64, LANES, _MASK32), _all(_I64, LANES, 32)
        pairs = [
            builder.or_(builder.and_(made[index], low), builder.shl(made[index + 1], half))
            for index in (0, 2)
        ]
        order = [lane + LANES * side for lane in range(LANES) for side in (0, 1)]
        mask = ir.Constant(ir.VectorType(_I32, 2 * LANES), order)
        target.write(arguments[1], builder.shuffle_vector(pairs[0], pairs[1], mask))
        return context.get_dummy_value()

    return types.void(out, types.intp, _NUMBER, _NUMBER, words), codegen


@_instruction
def gather_places(
    typing: Any, places: Any, start: Any, codes: Any, first: Any, keys: Any, mask: Any, shift: Any
) -> Any:
    """Where outputs first .. first+15 come from, and their Gaussian's index in the top 12 bits.

    `keys` holds multiplier and addend of each round of the permutation, then the last addend.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, random, given = (
            _Array(context, builder, signature.args[i], arguments[i]) for i in (0, 2, 4)
        )
        _, place, _, output, _, last, distance = arguments
        masks = _spread(builder, builder.trunc(last, _I32), PLACES)
        distances = _spread(builder, builder.trunc(distance, _I32), PLACES)

        def key(index: int) -> Any:
            return _spread(builder, builder.load(given.place(ir.Constant(_I64, index))), PLACES)

        steps = ir.Constant(ir.VectorType(_I32, PLACES), list(range(PLACES)))
        source = builder.add(_spread(builder, builder.trunc(output, _I32), PLACES), steps)
        for step in range(PERMUTATION_ROUNDS):
            moved = builder.add(builder.mul(source, key(2 * step)), key(2 * step + 1))
            moved = builder.and_(moved, masks)
            source = builder.xor(moved, builder.lshr(moved, distances))
        source = builder.and_(builder.add(source, key(2 * PERMUTATION_ROUNDS)), masks)
        code = builder.zext(random.read(output, ir.VectorType(_I16, PLACES)), source.type)
        # The shift drops the sign and all bits above the Gaussian's index.
        source = builder.or_(source, builder.shl(code, _all(_I32, PLACES, PLACE_BITS)))
        target.write(place, source)
        return context.get_dummy_value()

    arguments = (places, types.intp, codes, types.intp, keys, _NUMBER, _NUMBER)
    return types.void(*arguments), codegen


@_instruction
def gather_scale_add(
    typing: Any, out: Any, target: Any, data: Any, places: Any, start: Any, table: Any
) -> Any:
    """out[target:][:8] += gaussian · data[place] for eight entries of `gather_places`."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, mixed, given, values = (
            _Array(context, builder, signature.args[i], arguments[i]) for i in (0, 2, 3, 5)
        )
        _, goal, _, _, first, _ = arguments
        pieces = gaussians = ir.Constant(_FLOATS, ir.Undefined)
        for lane in range(LANES):
            word = builder.load(given.place(first, lane))
            place = builder.and_(word, ir.Constant(_I32, (1 << PLACE_BITS) - 1))
            level = builder.lshr(word, ir.Constant(_I32, PLACE_BITS))
            at = ir.Constant(_I32, lane)
            piece = builder.load(mixed.place(builder.zext(place, _I64)))
            gaussian = builder.load(values.place(builder.zext(level, _I64)))
            pieces = builder.insert_element(pieces, piece, at)
            gaussians = builder.insert_element(gaussians, gaussian, at)
        total.write(goal, builder.fadd(total.read(goal, _FLOATS), builder.fmul(pieces, gaussians)))
        return context.get_dummy_value()

    arguments = (out, types.intp, data, places, types.intp, table)
    return types.void(*arguments), codegen
