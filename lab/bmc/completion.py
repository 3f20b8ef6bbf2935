"""Completion codes of IPMI 2.0 table 5-2, and the exception by which a command refuses."""

from enum import IntEnum


class Completion(IntEnum):
    """The first byte of every answer."""

    OK = 0x00
    SOL_ALREADY_ACTIVE = 0x80
    PARAMETER_UNSUPPORTED = 0x80
    PASSWORD_WRONG = 0x80
    PAYLOAD_DISABLED = 0x81
    PRIVILEGE_ABOVE_LIMIT = 0x81
    PARAMETER_READ_ONLY = 0x82
    NODE_BUSY = 0xC0
    INVALID_COMMAND = 0xC1
    OUT_OF_SPACE = 0xC4
    LENGTH_INVALID = 0xC7
    PARAMETER_OUT_OF_RANGE = 0xC9
    TOO_MANY_BYTES = 0xCA
    NOT_PRESENT = 0xCB
    INVALID_FIELD = 0xCC
    INSUFFICIENT_PRIVILEGE = 0xD4
    NOT_IN_THIS_STATE = 0xD5


class Refused(Exception):
    """A command can't be done; the client gets the code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{code:#04x}")
        self.code = code
