"""A scorer that works in other pods: the same contract over HTTP."""
