"""The body that stores a reading: checked whole, and kept as text from there on."""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from pxe_edge.api.storable import storable
from pxe_edge.registry import readings
from pxe_edge.registry.readings import Reading
from specs.facts import Observation


def _checked(given: object, check: ValidatorFunctionWrapHandler) -> Reading:
    return given if isinstance(given, Reading) else readings.of(check(given))


def _schema(_source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    return core_schema.no_info_wrap_validator_function(_checked, handler(Observation))


class ObservationBody(BaseModel):
    """A reading, under the lease's epoch or read-only."""

    # As all bodies have it; those stand with more vocabulary than the process needs that reads this one.
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, given: Any) -> Any:
        return storable(given)

    epoch: int | None = None
    observation: Annotated[Reading, GetPydanticSchema(_schema)]
