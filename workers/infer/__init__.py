"""The infer role: frames in, face readings out. Stateless, so that any number of workers may share the cameras."""
