"""Who types: for the record of jobs, consents and releases."""

import getpass
import socket


def me() -> str:
    """Login and machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
