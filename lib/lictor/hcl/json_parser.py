"""JSON text to the syntax tree of HCL 1: objects inside objects become labels, as HCL reads JSON."""

from __future__ import annotations

from lictor.hcl import tokens
from lictor.hcl.parser import MAX_DEPTH
from lictor.hcl.scanner import JsonScanner
from lictor.hcl.tokens import NOWHERE, HclError, Token
from lictor.hcl.tree import Document, ListValue, Literal, Member, Members, ObjectValue, Value


class _EndOfText(Exception):
    """The text ended; what has been read so far counts."""


def parse_json(text: str) -> Document:
    """The tree of a JSON text, without places; missing ends are forgiven. Raises HclError."""
    parser = _Parser(text)
    error: HclError | None = None
    members = Members()
    try:
        members = parser.document()
    except HclError as found:
        error = found
    if parser.scanner.error is not None:
        place, message = parser.scanner.error
        raise HclError(f"{place}: {message}")
    if error is not None:
        raise error
    _flatten(members)
    return Document(members)


def _placeless(token: Token) -> Token:
    if token.kind == tokens.NULL:
        return Token(tokens.STRING, NOWHERE, "")
    return Token(token.kind, NOWHERE, token.text, token.json)


class _Parser:
    def __init__(self, text: str) -> None:
        self.scanner = JsonScanner(text)
        self._token = Token(tokens.ILLEGAL, NOWHERE, "")
        self._depth = 0

    def _scan(self) -> Token:
        self._token = self.scanner.scan()
        return self._token

    def document(self) -> Members:
        token = self._scan()
        if token.kind != tokens.LBRACE:
            raise HclError(f"Expected object, got unknown token: {token}")
        return self._object().members

    def _object(self) -> ObjectValue:
        self._enter()
        found = Members()
        try:
            while True:
                found.items.append(self._member())
                if self._scan().kind != tokens.COMMA:
                    break
        except _EndOfText:
            pass
        except HclError:
            if self._token.kind != tokens.RBRACE:
                raise
        self._depth -= 1
        return ObjectValue(NOWHERE, found)

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise HclError(f"nested more than {MAX_DEPTH} deep")

    def _member(self) -> Member:
        keys: list[Token] = []
        while (token := self._scan()).kind == tokens.STRING:
            keys.append(_placeless(token))
        if token.kind == tokens.EOF:
            raise _EndOfText
        if token.kind == tokens.ILLEGAL:
            raise HclError("illegal")
        if token.kind != tokens.COLON or not keys:
            raise HclError(f"expected: STRING got: {token.kind}")
        return Member(keys, self._value(), assign=token.place)

    def _value(self) -> Value:
        token = self._scan()
        if token.kind in (tokens.NUMBER, tokens.FLOAT, tokens.BOOL, tokens.NULL, tokens.STRING):
            return Literal(_placeless(token))
        if token.kind == tokens.LBRACE:
            return self._object()
        if token.kind == tokens.LBRACK:
            return self._list()
        if token.kind == tokens.EOF:
            raise _EndOfText
        raise HclError(f"Expected object value, got unknown token: {token}")

    def _list(self) -> ListValue:
        """The items; truth values and inner brackets are passed over."""
        found = ListValue(NOWHERE)
        while True:
            token = self._scan()
            if token.kind in (tokens.NUMBER, tokens.FLOAT, tokens.STRING):
                found.items.append(Literal(_placeless(token)))
            elif token.kind == tokens.LBRACE:
                found.items.append(self._object())
            elif token.kind == tokens.RBRACK:
                return found
            elif token.kind not in (tokens.COMMA, tokens.BOOL, tokens.LBRACK):
                raise HclError(f"unexpected token while parsing list: {token.kind}")


def _flatten(members: Members) -> None:
    """Objects of nothing but objects become labels of the inner ones; lists of objects become repeated members."""
    flat: list[Member] = []
    for item in members.items:
        _flatten_member(item, flat)
    members.items = flat
    for item in flat:
        _flatten_value(item.value)


def _flatten_member(item: Member, flat: list[Member]) -> None:
    value = item.value
    if isinstance(value, ObjectValue) and value.members.items:
        inner = value.members.items
        if all(isinstance(each.value, ObjectValue) for each in inner):
            for each in inner:
                _flatten_member(Member(item.keys + each.keys, each.value, item.assign), flat)
            return
    if isinstance(value, ListValue) and value.items and all(isinstance(each, ObjectValue) for each in value.items):
        for element in value.items:
            _flatten_member(Member(item.keys, element, item.assign), flat)
        return
    flat.append(item)


def _flatten_value(value: Value) -> None:
    if isinstance(value, ObjectValue):
        _flatten(value.members)
    elif isinstance(value, ListValue):
        for each in value.items:
            _flatten_value(each)
