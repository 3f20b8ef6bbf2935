"""Why the packet plane can't start: one clear sentence and the fix."""

import errno


class StartError(Exception):
    """The packet plane can't start; `hint` is the next step."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint}")
        self.hint = hint


class PortInUse(StartError):
    """Another program holds the port."""


class MissingRights(StartError):
    """The process lacks a capability."""


class NoInterface(StartError):
    """The interface that a network names does not exist (yet)."""


def explain(error: OSError, what: str, port: int) -> StartError:
    """Turn a failed bind into a named error with the fix."""
    transport = "t" if what.startswith("TCP") else "u"
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"{what} port {port} is in use by another program.",
            f"See which one with `ss -{transport}lpn 'sport = :{port}'`, stop it, and start the edge again.",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return MissingRights(
            f"This process may not bind {what} port {port}.",
            "Run the edge as root, or give it CAP_NET_BIND_SERVICE and CAP_NET_RAW "
            "(systemd: AmbientCapabilities=).",
        )
    if error.errno in (errno.ENODEV, errno.ENXIO):
        return NoInterface(
            f"The interface of {what} port {port} does not exist.",
            "Create it, or correct `interface` in the Site document.",
        )
    return StartError(f"{what} port {port} can't be bound: {error.strerror}.", "Check the host's network.")
