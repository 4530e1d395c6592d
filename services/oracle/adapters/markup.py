"""XML by local names: versions of a document differ in their name spaces only. Pure."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from services.oracle.adapters.amounts import refused


def parsed(data: bytes) -> Element:
    """Read a document without a DTD, entities or anything from elsewhere.

    Raises:
        Refused: It is no such document.
    """
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise refused("document-shape", "document", "XML without DTD and entities") from error
    return root


def name_of(element: Element) -> str:
    """The name of an element without its name space."""
    return element.tag.rpartition("}")[2]


def children(element: Element, name: str) -> Iterator[Element]:
    """The elements of a name right below one."""
    return (each for each in element if name_of(each) == name)


def child(element: Element, name: str) -> Element | None:
    """The first element of a name right below one."""
    return next(children(element, name), None)


def text_of(element: Element, name: str, field: str) -> str:
    """The text of the first element of a name right below one.

    Raises:
        Refused: It is missing.
    """
    found = child(element, name)
    text = "" if found is None else (found.text or "").strip()
    if not text:
        raise refused("document-shape", f"{field}.{name}", "is missing")
    return text
