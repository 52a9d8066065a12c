"""Everything on the frames endpoint: streams of frames, what is pending of them, pictures."""
