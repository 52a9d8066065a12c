"""A whole site on this machine, watched and summed up."""
