"""The site plan: drawn, compared, published."""
