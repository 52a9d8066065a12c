"""From predictions and truth to figures and pictures of them."""
