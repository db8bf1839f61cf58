"""What a run depends on: one YAML file each, read into frozen models."""
