"""What carries any scorer: admission, fair queues, batching, deadlines, logs, traces. Knows nothing of scoring."""
