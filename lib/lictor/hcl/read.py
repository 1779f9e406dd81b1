"""Text, HCL or JSON, to a syntax tree."""

from __future__ import annotations

from lictor.hcl.json_parser import parse_json
from lictor.hcl.parser import parse_hcl
from lictor.hcl.tree import Document


def parse(text: str) -> Document:
    """The tree of a text: JSON if it begins with a brace, else HCL. Raises HclError."""
    return parse_json(text) if text.lstrip().startswith("{") else parse_hcl(text)
