"""Turn labelled faces into a released model version."""
