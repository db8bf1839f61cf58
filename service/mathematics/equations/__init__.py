"""Equations of a solution, recomputed: certain where it speaks, silent where a statement can be read twice.

    plain_text  LaTeX, currency, thousands separators and unusual signs → plain characters
    intervals   numbers that may have been rounded, with powers, roots and factorials
    terms       sums of products of letters, the imaginary unit among them
    grammar     tokens and expressions of numbers and letters, with units
    agreement   whether two expressions are equal by some reading
    statements  which `A = B` of a text can be computed, and the first that is false

Pure: no model, no I/O. Not covered: equations that a solution solves, other functions, other bases.
"""
