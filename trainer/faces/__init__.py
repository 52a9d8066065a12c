"""Faces cut out of labelled pictures, as production cuts them and as training varies them."""
