"""Deciding whether two final answers are equal, without any computer algebra: standard library only.

extraction     where the final answer of a solution stands
normalisation  one spelling for answers that differ in typesetting alone
characters       digits, signs and letters of every script
typesetting      spaces, sizes, colours, wrappers
wording          numbers in words, conjunctions, sentences around a value
numbers        exact values of plain numbers, and what is a rounding of them
arithmetic     numeric comparison of expressions: exact at rational points, else to hundreds of digits
exact_values     the arithmetic of that, bounded
structure      lists, tuples, sets, intervals, matrices, equations: which parts must equal which
equality       the three-valued decision: equal, different, or needs algebra
leaves           of parts without structure
labels           of values with names
bound_names      of names that mean nothing outside
real_sets        of sets of reals
real_pieces        the algebra of pieces of the line
ratios           of ratios and times of day
units            of values with units
notation       letter case, primes, hats, orders of products: what both answers must carry alike
respelling     LaTeX as the reader behind algebra takes it for what it is

question       answers that only repeat what the question asks for
context        words around an answer that take it back, alternatives, formulas that it is a part of
letters        multiple choice

Everything here takes time linear in the text (answers past a length are compared as text alone); what is computed has a
largest size. Nothing is ever evaluated as code.
"""
