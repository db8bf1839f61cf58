"""Deciding whether two final answers are equal, without any computer algebra: standard library only.

extraction     where the final answer of a solution stands
normalisation  one spelling for answers that differ in typesetting alone
numbers        exact values of plain numbers
structure      lists, tuples, sets, intervals, matrices, equations: which parts must equal which
equality       the three-valued decision: equal, different, or needs algebra

Everything here takes time linear in the text (answers past a length are compared as text alone) and never evaluates it.
"""
