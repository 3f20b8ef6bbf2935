"""What a parser gives: a typed value, what it read past, and which values were placeholders.

The value is what drivers work with; as JSON it is what `rackflow parse` prints. There is one shape for
both, so that what support sees is what the machine's reading was.
"""

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """A parser's result.

    `ignored` holds short texts that are not part of the data; `placeholders` the paths of values that
    vendors ship in place of an identity ("system.serial"), which are None in the value.
    """

    value: T
    ignored: tuple[str, ...] = ()
    placeholders: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The value's fields, then what was left out."""
        return {
            **as_json(self.value),
            "placeholders": list(self.placeholders),
            "ignored": list(self.ignored),
        }


def as_json(value: Any) -> Any:
    """Dataclasses as objects, tuples as lists; a field's `json` metadata is its name there."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            str(field.metadata.get("json", field.name)): as_json(getattr(value, field.name))
            for field in fields(value)
        }
    if isinstance(value, tuple | list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    return value
