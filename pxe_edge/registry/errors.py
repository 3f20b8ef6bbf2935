"""What the registry refuses, in words that REST hands on: code, detail, hint, host."""


class RegistryError(Exception):
    """A refusal: `code` for programs, `detail` for people, `hint` for the next step."""

    status = 400
    default_code = "invalid"

    def __init__(
        self, detail: str, *, code: str | None = None, hint: str | None = None, host: str | None = None
    ) -> None:
        super().__init__(detail)
        self.code = code or self.default_code
        self.detail = detail
        self.hint = hint
        self.host = host


class NotFoundError(RegistryError):
    """There is no such thing."""

    status = 404
    default_code = "not-found"


class ConflictError(RegistryError):
    """What is there stands against it: lease, epoch, version, identity, another job."""

    status = 409
    default_code = "conflict"


class GoneError(RegistryError):
    """A token that was used or has expired."""

    status = 410
    default_code = "gone"


class InvalidError(RegistryError):
    """The request is well formed and makes no sense."""

    status = 422
    default_code = "invalid"


class TokenError(RegistryError):
    """No token, or one that nobody made."""

    status = 401
    default_code = "token"


class ForbiddenError(RegistryError):
    """The token is not good for this."""

    status = 403
    default_code = "forbidden"
