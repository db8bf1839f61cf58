"""Benchmarks, accuracy with intervals, and drift from π0."""
