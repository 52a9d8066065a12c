"""The judge: results of frames in, violation events out."""
