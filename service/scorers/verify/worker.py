"""Runs in the worker process: the pairs that need algebra. Sole importer of math_verify (and sympy).

math-verify's reader turns LaTeX into sympy; the decision is ours, since its own is by a numeric tolerance (e^{-50}
would equal e^{-60}) and lets variables be renamed. Two expressions are equal when their difference is zero: exactly at
rational points where it is rational there, else to hundreds of digits. Time and memory are limited from outside.

Not covered: limits, integrals and sums that sympy cannot do. They are different unless written alike.
"""

import gc
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

from latex2sympy2_extended.latex2sympy2 import NormalizationConfig, latex2sympy, normalize_latex
from math_verify.grader import should_treat_as_complex
from sympy import (
    Basic,
    Derivative,
    E,
    Eq,
    Expr,
    Float,
    I,
    MatrixBase,
    MatrixExpr,
    Rational,
    Symbol,
    binomial,
    combsimp,
    factorial,
    im,
    nan,
    oo,
    simplify,
    zoo,
)
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational

from rewright.service.mathematics.answers.equality import compare
from rewright.service.mathematics.answers.leaves import ROUNDED, arithmetic_leaf
from rewright.service.mathematics.answers.numbers import Exact, is_rounding, prints, read_number
from rewright.service.mathematics.answers.respelling import with_capitals_apart, with_ended_functions
from rewright.service.mathematics.answers.units import same_unit

_ZERO_DIGITS = 300
_CONSTANTS = (("e", E), ("i", I))
# Units are taken off by us, who compare them; the library would drop them.
_READING = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none", equations=False
)


def decide(pair: list[str]) -> bool:
    """Whether two normalised answers (gold, prediction) are equal."""
    gold, prediction = pair
    return compare(gold, prediction, _leaf) is True


def _leaf(gold: str, prediction: str) -> bool | None:  # noqa: PLR0911 - one way out per kind of value
    certain = arithmetic_leaf(gold, prediction)
    if certain is not None:
        return certain
    rounded = prediction.startswith(ROUNDED)
    values = same_unit(gold, prediction.removeprefix(ROUNDED))
    if values is None:
        return False
    gold, prediction = values
    if rounded:
        return _rounds(_read(gold), prediction)
    gold, prediction = with_capitals_apart(gold, prediction)
    mine, yours = _read(gold), _read(prediction)
    if mine is None or yours is None:
        return False
    if isinstance(mine, (MatrixBase, MatrixExpr)) or isinstance(yours, (MatrixBase, MatrixExpr)):
        return _matrices_equal(_done(mine), _done(yours))
    if isinstance(mine, Relational) and isinstance(yours, Relational):
        return _relations_equal(mine, yours)
    if isinstance(mine, Expr) and isinstance(yours, Expr):
        return _printed(mine, prediction) or _printed(yours, gold) or expressions_equal(mine, yours)
    return False


@lru_cache(maxsize=4096)
def _read(text: str) -> Any:
    """The sympy object of a normalised text, decimals made exact; None where it cannot be read."""
    percent = text.endswith("%")
    text = text.removesuffix("%")
    if "%" in text:
        return None
    parsed = _parsed(normalize_latex(with_ended_functions(text), config=_READING))
    if not isinstance(parsed, (Basic, MatrixBase)):
        return None
    expression = _exactly(parsed)
    if expression.has(Derivative) and any(
        not derivative.expr.has(*derivative.variables) for derivative in expression.atoms(Derivative)
    ):
        return Symbol(str(expression))  # dy/dx of a bare symbol would be worked out to 0
    return expression / 100 if percent and isinstance(expression, Expr) else expression


def _parsed(latex: str) -> Any:
    """What math-verify's reader makes of it; None for what it cannot read.

    math-verify's own `parse` catches every exception, so that text which runs out of memory would be unreadable, hence
    wrong, where it is undecided.
    """
    try:
        return latex2sympy(
            latex, is_real=not should_treat_as_complex(latex), convert_degrees=False, normalization_config=None
        )
    except MemoryError:
        raise
    except Exception:  # the reader raises whatever its grammar, sympy or Python raised
        return None


def _exactly(expression: Any) -> Any:
    floats = {number: Rational(str(number)) for number in expression.atoms(Float)}
    # math-verify reads a lone e or i as a symbol in some places and as the constant in others.
    constants = {
        symbol: value
        for symbol in expression.atoms(Symbol)
        for name, value in (("e", E), ("i", I))
        if symbol.name == name
    }
    return expression.xreplace({**floats, **constants}) if floats or constants else expression


def _done(value: Any) -> Any:
    try:
        return value.doit()
    except (ArithmeticError, AttributeError, TypeError, ValueError, NotImplementedError):
        return value


def _matrices_equal(mine: Any, yours: Any) -> bool:
    if not (isinstance(mine, MatrixBase) and isinstance(yours, MatrixBase)) or mine.shape != yours.shape:
        return False
    return all(expressions_equal(a, b) for a, b in zip(mine.flat(), yours.flat(), strict=True))


def _relations_equal(mine: Relational, yours: Relational) -> bool:
    """Both sides brought to one: equations up to a constant factor, inequalities up to a positive one."""
    if mine.free_symbols != yours.free_symbols:
        return False
    first, second = mine.lhs - mine.rhs, yours.lhs - yours.rhs
    if not isinstance(mine, Eq):
        if mine.rel_op[0] != yours.rel_op[0]:
            first = -first
        if len(mine.rel_op) != len(yours.rel_op) or mine.rel_op[0] not in "<>":
            return False
    first, second = _done(first), _done(second)
    if not (isinstance(first, Expr) and isinstance(second, Expr)):
        return False
    factor = _ratio_at_points(first, second) if first.is_rational_function() and second.is_rational_function() else None
    if factor is None:
        factor = simplify(first / second)
    if factor.free_symbols or factor.atoms(AppliedUndef) or factor in (0, nan, zoo, oo, -oo):
        return False
    return isinstance(mine, Eq) or bool(factor.is_positive)


def _ratio_at_points(first: Expr, second: Expr) -> Expr | None:
    """The ratio of two rational functions where it is the same at every point;
    `nan` where it is not; None where they have no value at too many of the points."""
    ratios = set()
    seen = 0
    for point in _points(sorted(first.free_symbols | second.free_symbols, key=str)):
        mine, yours = first.subs(point), second.subs(point)
        if not (mine.is_Rational and yours.is_Rational and yours):
            continue
        seen += 1
        ratios.add(mine / yours)
        if len(ratios) > 1:
            return nan
    return ratios.pop() if seen >= 3 else None


def _rounds(exact: Any, rounding: str) -> bool:
    """`rounding` is the value of the expression, rounded to the places that it shows."""
    value = _done(exact) if isinstance(exact, Expr) and not exact.free_symbols else None
    digits = value.evalf(60) if isinstance(value, Expr) else value
    if digits is None or not (digits.is_Float or digits.is_Rational) or not digits.is_finite:
        return False
    near = Rational(digits)
    return is_rounding(Fraction(int(near.p), int(near.q)), rounding)


def _printed(exact: Expr, text: str) -> bool:
    """`text` is the printout of a binary float that stands for the exact value."""
    decimal = read_number(text)
    if decimal is None or decimal.decimals is None or decimal.significant < 15 or exact.free_symbols:
        return False
    value = _done(exact)
    digits = value.evalf(decimal.significant + 20) if value.is_number else value
    if not (digits.is_Float or digits.is_Rational) or not digits.is_finite:
        return False
    near = Rational(digits)
    return prints(Exact(Fraction(int(near.p), int(near.q))), decimal)


def expressions_equal(mine: Expr, yours: Expr) -> bool:  # noqa: PLR0911 - one way out per kind of expression
    """Equal as functions of the same symbols; see the module's docstring."""
    if mine == yours:
        return mine not in (nan, zoo)
    mine, yours = _done(mine), _done(yours)
    if not (isinstance(mine, Expr) and isinstance(yours, Expr)):
        return bool(mine == yours)
    if mine.has(nan, zoo, oo, -oo) or yours.has(nan, zoo, oo, -oo) or mine.is_commutative is False:
        return bool(mine == yours)
    if {str(f.func) for f in mine.atoms(AppliedUndef)} != {str(f.func) for f in yours.atoms(AppliedUndef)}:
        return False
    difference = mine - yours
    if not difference.free_symbols and not difference.atoms(AppliedUndef):
        return _is_zero(difference)
    if difference.atoms(AppliedUndef):
        return bool(simplify(difference) == 0)
    if difference.has(factorial, binomial) and combsimp(difference) == 0:
        return True  # at a rational point it would be a gamma function to hundreds of digits
    seen = 0
    for point in _points(sorted(difference.free_symbols, key=str)):
        value = difference.subs(point)
        if value.is_real is False and not (_is_real(mine.subs(point)) or _is_real(yours.subs(point))):
            continue  # both of them speak of other points: 1/√n and √(1/n) of those above zero
        if value.has(nan, zoo, oo, -oo):
            continue
        if not _is_zero(value):
            return False
        seen += 1
    return seen > 0 and (difference.is_rational_function() or seen >= 3)


def _points(symbols: list[Basic]) -> Iterator[dict[Basic, Rational]]:
    """Rational points without small relations between their coordinates, on both sides of zero."""
    for row in range(6):
        sign = -1 if row % 2 else 1
        yield {
            symbol: Rational(
                sign ** (column + 1) * (7919 + 104_729 * row + 1_299_709 * column), 3571 + 611 * row + 97 * column
            )
            / (50 if row >= 2 else 1)
            for column, symbol in enumerate(symbols)
        }


def _is_real(value: Expr) -> bool:
    """Certainly or nearly so."""
    digits = value.evalf(20)
    return bool(digits.is_real) or abs(im(digits)) < Rational(1, 10**15)


def _is_zero(value: Expr) -> bool:
    """Exact for rationals; else zero to hundreds of digits."""
    value = _done(value)
    if value.is_Rational:
        return bool(value == 0)
    digits = value.evalf(20, maxn=2 * _ZERO_DIGITS)
    if not digits.is_number or digits.has(nan, zoo):
        return bool(simplify(value) == 0)
    return bool(abs(digits) < Rational(1, 10**_ZERO_DIGITS)) if digits.is_comparable or digits.is_complex else False


def _warm_up() -> None:
    """Fill the caches of parser and algebra once: the forkserver imports this module, and every child it forks inherits
    them. A cold child needs 0.2 s for its first answer, which would eat most of a short first try."""
    for pair in (
        ["\\frac{1}{2}\\sin(6x)", "\\sin(3x)\\cos(3x)"],
        ["\\sqrt{8}+\\log_2{x}", "2\\sqrt{2}+\\frac{\\ln x}{\\ln 2}"],
    ):
        decide(pair)
    # Frozen, what is loaded now need not be walked by the collector of every child.
    gc.collect()
    gc.freeze()


_warm_up()
