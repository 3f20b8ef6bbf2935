"""The one error the rack shows to a person: what is wrong, and the next step."""


class LabError(Exception):
    """Something the person at the keyboard can put right; `hint` is the command or edit that does it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  fix: {self.hint}" if self.hint else message
