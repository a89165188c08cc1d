"""Kubernetes quantities as exact numbers."""

import re
from fractions import Fraction

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+)|([numkKMGTPE]i?|))")
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def parse_quantity(text: str | float) -> Fraction:
    """
    Parse a quantity.

    Raises:
        ValueError: The text is not a quantity.

    >>> parse_quantity("1500m") == Fraction(3, 2), parse_quantity("1Ki") == 1024
    (True, True)
    """
    match = _FORM.fullmatch(str(text))
    if match is None:
        raise ValueError(f"invalid quantity: {text!r}")
    number, exponent, suffix = Fraction(match[1]), match[2], match[3] or ""
    if exponent is not None:
        return number * _power(int(exponent))
    if suffix in _BINARY:
        return number * Fraction(1024 ** _BINARY[suffix])
    if suffix not in _DECIMAL:
        raise ValueError(f"invalid quantity: {text!r}")
    return number * _power(_DECIMAL[suffix])


def _power(exponent: int) -> Fraction:
    return Fraction(10**exponent) if exponent >= 0 else Fraction(1, 10**-exponent)


def format_quantity(value: Fraction, *, binary: bool = False) -> str:
    """
    Format a quantity in its canonical form.

    >>> format_quantity(Fraction(3, 2)), format_quantity(Fraction(2**31), binary=True)
    ('1500m', '2Gi')
    """
    if value.denominator != 1:
        return f"{-(-value * 1000 // 1)}m"
    number = value.numerator
    if number == 0:
        return "0"
    for suffix, power in reversed(_BINARY.items()) if binary else ():
        if number % 1024**power == 0:
            return f"{number // 1024**power}{suffix}"
    for suffix, power in reversed(_DECIMAL.items()):
        if power > 0 and not binary and number % 10**power == 0:
            return f"{number // 10**power}{suffix}"
    return str(number)


def is_extended(name: str) -> bool:
    """
    Whether a resource is counted in whole devices, such as ``nvidia.com/gpu``.

    >>> is_extended("nvidia.com/gpu"), is_extended("cpu")
    (True, False)
    """
    prefix, slash, _ = name.partition("/")
    return bool(slash) and not prefix.endswith("kubernetes.io")
