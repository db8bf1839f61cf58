"""What operators see: metrics and readiness."""
