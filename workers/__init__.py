"""Turn frames into results (infer) and results into events (judge)."""
