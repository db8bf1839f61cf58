"""Scores remembered, here and in a store that pods share."""
