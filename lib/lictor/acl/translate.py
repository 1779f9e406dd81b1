"""Rules of before Consul 1.4 printed in the present syntax: what covered a prefix then is named `…_prefix` now."""

from __future__ import annotations

from lictor.acl.errors import RulesError
from lictor.acl.rules import KINDS
from lictor.hcl import HclError, parse
from lictor.hcl.printer import print_document
from lictor.hcl.tokens import IDENT, STRING, Token
from lictor.hcl.tree import Member, literals_and_members

_NEW_NAMES = {"policy": "policy"} | {kind.word: f"{kind.word}_prefix" for kind in KINDS}


def translate(text: str) -> str:
    """The rules in the present syntax, printed anew with their comments; JSON comes out as HCL.

    Raises RulesError, worded as Consul words it.
    """
    try:
        document = parse(text)
    except HclError as error:
        raise RulesError(f"Failed to parse rules: {error}") from None
    for node in literals_and_members(document.members):
        if isinstance(node, Member):
            _rename(node.keys)
    return print_document(document)


def _rename(keys: list[Token]) -> None:
    """Only the first name of a member is a word of the language; inside a rule too."""
    key = keys[0]
    try:
        name = Token(STRING, key.place, key.text, json=True).string() if key.kind == STRING else key.text
    except HclError:
        return
    if name in _NEW_NAMES:
        keys[0] = Token(IDENT, key.place, _NEW_NAMES[name])
