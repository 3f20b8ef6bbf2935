"""The control plane: REST over the registry, on TLS. Thin: each handler is one transaction."""
