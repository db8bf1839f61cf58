"""Deciding whether two final answers are equal, without any computer algebra: standard library only.

extraction     where the final answer of a solution stands
normalisation  one spelling for answers that differ in typesetting alone
numbers        exact values of plain numbers
arithmetic     numeric comparison of expressions: exact at rational points, else to hundreds of digits
values         the arithmetic of that, bounded
structure      lists, tuples, sets, intervals, matrices, equations: which parts must equal which
equality       the three-valued decision: equal, different, or needs algebra
marks          letter case, primes, hats: what both answers must carry alike

question       answers that only repeat what the question asks for
context        words around an answer that take it back, alternatives, formulas that it is a part of
letters        multiple choice

Everything here takes time linear in the text (answers past a length are compared as text alone); what is computed has a
largest size. Nothing is ever evaluated as code.
"""
