"""Anybody's data, read one way everywhere: files of every kind → rows → problem, solution, answer."""
