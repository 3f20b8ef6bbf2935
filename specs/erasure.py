"""What a wipe of a host asks for: by which method, and which disks.

Both sides of the wire read it strictly. A key that nobody knows is refused and not dropped: `disk` for
`disks` would leave the default standing, which is every disk of the host.
"""

from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

WipeMethod = Literal["metadata", "discard", "sanitize", "overwrite"]
METHODS: Final[tuple[WipeMethod, ...]] = get_args(WipeMethod)
DEFAULT: Final[WipeMethod] = "metadata"
"""How a disk is erased that no layout of a spec speaks of."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=256, strip_whitespace=True)]


class WipeWish(BaseModel):
    """Which disks, by serial or WWN, and how; without a method each disk goes by its spec."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: WipeMethod | None = None
    disks: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)] = "all"


class WipeArgs(WipeWish):
    """The arguments of a wipe job: the wish, and the plan that was reviewed, if one was."""

    plan: str | None = None
    specset: str | None = None

    @property
    def wish(self) -> WipeWish:
        """What is to be erased."""
        return WipeWish(method=self.method, disks=self.disks)


def wipe_args(given: dict[str, Any]) -> WipeArgs:
    """The arguments of a wipe job. Raises ValueError that says which one is wrong, and how."""
    try:
        return WipeArgs.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = str(first["loc"][0]) if first["loc"] else "args"
        raise ValueError(f"{place}: {first['msg']}") from None
