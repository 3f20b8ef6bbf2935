"""Password hashes as /etc/shadow holds them: SHA-512 crypt, `$6$salt$…`.

Written here because a password must be compared on the worker: Python dropped its crypt module, and
`openssl passwd` would put the salt of each comparison through another process. The algorithm is
U. Drepper's "Unix crypt using SHA-256 and SHA-512" (2008), steps named as there.
"""

import hashlib
import hmac
import secrets
from typing import Final

ALPHABET: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DEFAULT_ROUNDS: Final = 5000
SALT_CHARACTERS: Final = 16


def make_hash(password: str, salt: str, rounds: int = DEFAULT_ROUNDS) -> str:
    """Give the shadow field of a password."""
    digest = _digest(password.encode(), salt.encode(), rounds)
    given = "" if rounds == DEFAULT_ROUNDS else f"rounds={rounds}$"
    return f"$6${given}{salt}${_encoded(digest)}"


def new_salt() -> str:
    """Give a fresh salt."""
    return "".join(secrets.choice(ALPHABET) for _ in range(SALT_CHARACTERS))


def is_password(password: str, field: str) -> bool:
    """Whether a shadow field was made from this password; a field of another method was not made by us."""
    parts = field.split("$")
    if len(parts) < 4 or parts[0] or parts[1] != "6":
        return False
    rounds = DEFAULT_ROUNDS
    if parts[2].startswith("rounds="):
        given = parts[2].removeprefix("rounds=")
        if len(parts) != 5 or not given.isdigit() or not 1000 <= int(given) <= 999_999:
            return False
        rounds = int(given)
    return hmac.compare_digest(make_hash(password, parts[-2], rounds).encode(), field.encode())


def _repeated(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _digest(key: bytes, salt: bytes, rounds: int) -> bytes:
    """Give the digest before its encoding (steps 1 to 21)."""
    second = hashlib.sha512(key + salt + key).digest()
    first = hashlib.sha512(key + salt + _repeated(second, len(key)))
    bits = len(key)
    while bits:
        first.update(second if bits & 1 else key)
        bits >>= 1
    current = first.digest()
    p_block = _repeated(hashlib.sha512(key * len(key)).digest(), len(key))
    s_block = _repeated(hashlib.sha512(salt * (16 + current[0])).digest(), len(salt))
    for turn in range(rounds):
        one = hashlib.sha512(p_block if turn & 1 else current)
        if turn % 3:
            one.update(s_block)
        if turn % 7:
            one.update(p_block)
        one.update(current if turn & 1 else p_block)
        current = one.digest()
    return current


def _encoded(digest: bytes) -> str:
    """Give crypt's own base 64: groups of three bytes whose places move round by 21."""
    letters: list[str] = []
    places = (0, 21, 42)
    for _ in range(21):
        letters += _group(*(digest[place] for place in places), count=4)
        places = (places[1] + 1, places[2] + 1, places[0] + 1)
    return "".join([*letters, *_group(0, 0, digest[63], count=2)])


def _group(high: int, middle: int, low: int, *, count: int) -> list[str]:
    value = high << 16 | middle << 8 | low
    return [ALPHABET[value >> 6 * place & 63] for place in range(count)]
