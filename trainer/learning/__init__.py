"""The two tasks and the loop that learns them."""
