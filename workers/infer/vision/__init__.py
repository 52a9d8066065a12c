"""From JPEG bytes to faces with probabilities, on the host or on a device."""
