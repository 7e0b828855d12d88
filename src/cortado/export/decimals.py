"""Decimals that readers of JSON get right, also those that round several times.

correctionlib reads with RapidJSON as it is by default: the digits as an integer of 64 bits, which becomes a
float64, any more of them one after the other, and all that times or over a power of ten, which is another
float64 (https://github.com/Tencent/rapidjson/blob/v1.1.0/include/rapidjson/reader.h, ``ParseNumber``). Of
numbers with 17 digits one in six comes out as a neighbour. Many decimals stand for the same float64, though,
and some of them survive.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Context, Decimal

_EXACT = 2**53  # up to here integers are numbers of float64,
_EXACT_POWER = 22  # and so are powers of ten
_LARGEST_POWER = 308
_DIGITS = (17, 18, 19, 16, *range(20, 30))
_TRIES = 16  # on either side of the number
# Integers from which on one more digit may not fit 64 bits, of positive and of negative numbers.
_FULL, _FULL_NEGATIVE = (2**64 - 1) // 10, 2**63 // 10
_PRECISE = Context(prec=800)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')


def with_readable_numbers(json: str) -> str:
    """A JSON text with the same numbers, in decimals that both kinds of readers give the same float64 for."""
    return _TOKEN.sub(lambda found: found[0] if found[0].startswith('"') else _readable(found[0]), json)


def _readable(text: str) -> str:
    """Another decimal for the same float64 where a reader that rounds twice needs one, and there is one."""
    sign, digits, power = Decimal(text).as_tuple()
    significand = int("".join(map(str, digits)))
    if not isinstance(power, int) or (significand < _EXACT and abs(power) <= _EXACT_POWER):
        return text
    value = float(text)
    found = (t for m, p in _candidates(abs(value)) if _is_read_as(value, t := f"{'-' * sign}{m}e{p}", m, p))
    return next(found, text)


def _candidates(value: float) -> Iterator[tuple[int, int]]:
    """Integers m and powers p with m · 10ᵖ within half a unit in the last place of a value > 0."""
    exact, half = Decimal(value), Decimal(math.ulp(value) / 2)
    for n_digits in _DIGITS:
        power = exact.adjusted() + 1 - n_digits
        for step in sorted(range(1 - _TRIES, _TRIES), key=abs):
            shifted = _PRECISE.fma(half, Decimal(step) / _TRIES, exact)
            yield int(_PRECISE.scaleb(shifted, -power).to_integral_value()), power


def _is_read_as(value: float, text: str, significand: int, power: int) -> bool:
    """Whether both kinds of readers make a value of ±significand · 10^power."""
    if abs(power) > _LARGEST_POWER or float(text) != value:
        return False
    number, full = 0, _FULL_NEGATIVE if value < 0 else _FULL
    digits = iter(map(int, str(significand)))
    for digit in digits:
        number = 10 * number + digit
        if number >= full:
            break
    read = float(number)
    for digit in digits:
        read = 10.0 * read + digit
    factor = float(f"1e{abs(power)}")
    return (read * factor if power >= 0 else read / factor) == abs(value)
