"""Rewright: the reward service for rewriting agents (arXiv 2602.11220), its clients and its trainer.

Three packages under one import name: `rewright.service`, `rewright.clients`, `rewright.trainer`. Their folders stand at
the top of the repository; the links beside this file give them their name in a checkout, for editors and type checkers
as well as for imports. Nothing is imported here.
"""
