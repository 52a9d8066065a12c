"""The commands, one module for each topic; light to import, heavy only when run."""
