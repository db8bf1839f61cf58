"""ℓ_dist: how likely the candidate is under π0, given the problem alone."""
