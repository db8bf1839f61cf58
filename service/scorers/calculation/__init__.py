"""Arithmetic statements of a solution, recomputed: certain where it speaks, silent where a statement can be read twice.

    plain_text  LaTeX, currency, thousands separators and unusual signs → plain characters
    grammar     tokens and expressions of numbers, with units, in exact interval arithmetic
    statements  which `A = B` of a text are plain arithmetic, and the first that is false

Pure: no model, no I/O. Not covered: anything with a variable, a root, a function or another base.
"""
