"""From a finished run to a version that may serve."""
