"""Engines that write texts for builder and evaluation, behind one protocol."""
