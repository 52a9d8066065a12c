"""Model versions: manifests, networks, preprocessing and the bundled release."""
