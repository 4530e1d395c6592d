"""The one spelling of a model as JSON, and the quickest ways in and out of it.

pydantic's own methods (`model_dump_json`, `Model(...)`) look up options and defaults at each call;
the same serializer and validator behind them, asked directly, take half the time. Facts and
commands pass here by the thousand a second, so it counts.
"""

from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter
from pydantic_core import SchemaSerializer, SchemaValidator

_M = TypeVar("_M", bound=BaseModel)


@cache
def _serializer(cls: type[BaseModel]) -> SchemaSerializer:
    return TypeAdapter(cls).serializer


@cache
def validator_of(cls: type[BaseModel]) -> SchemaValidator:
    """The checks of a model, for `validate_python` of its members and `validate_json`."""
    found = TypeAdapter(cls).validator
    assert isinstance(found, SchemaValidator), "no plugin of pydantic stands between"
    return found


@cache
def _fields(cls: type[BaseModel]) -> set[str]:
    return set(cls.model_fields)


def made_of(cls: type[_M], members: dict[str, Any]) -> _M:
    """Make a model of members that were checked already: spares two thirds of checking them again.

    Args:
        cls: The model; one without private members.
        members: Every one of its members, by its name in Python. It is taken, not copied.
    """
    made = cls.__new__(cls)
    object.__setattr__(made, "__dict__", members)
    object.__setattr__(made, "__pydantic_fields_set__", _fields(cls))
    object.__setattr__(made, "__pydantic_extra__", None)
    object.__setattr__(made, "__pydantic_private__", None)
    return made


def spell(model: BaseModel) -> bytes:
    """Write a model as compact JSON in UTF-8: members in their order, those that are None left out.

    This is how facts are stored and commands signed; what is written twice is the same bytes.
    """
    return _serializer(type(model)).to_json(model, exclude_none=True)
