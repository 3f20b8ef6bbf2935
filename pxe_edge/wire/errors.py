"""The one error that leaves this package."""


class WireError(ValueError):
    """Bytes that are not what they should be: says which part, at which byte, expected against got."""
