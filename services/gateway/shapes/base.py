"""What every answer is made of."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T")


class Shape(BaseModel):
    """A JSON object."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Page(Shape, Generic[T]):
    """One page of a list."""

    items: list[T]
    """The items, in the order of the list."""
    next_cursor: str | None = None
    """Give it as `cursor` for the next page; null on the last one."""
