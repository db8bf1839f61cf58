"""The reward as training frameworks ask for it, one file per framework."""
