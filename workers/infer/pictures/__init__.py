"""Small pictures of faces, where a plan asks for them."""
