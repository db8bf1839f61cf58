"""What a text shows of its reasoning without a model: certain faults, and answers without any."""
