"""HCL 1 text to a syntax tree; comments are kept with what they stand above or behind."""

from __future__ import annotations

from lictor.hcl import tokens
from lictor.hcl.scanner import Scanner
from lictor.hcl.tokens import NOWHERE, HclError, Place, Token, error_at
from lictor.hcl.tree import CommentGroup, Document, ListValue, Literal, Member, Members, ObjectValue, Value

MAX_DEPTH = 100


class _EndOfText(Exception):
    """The text ended where something might still have come."""


def parse_hcl(text: str) -> Document:
    """The tree of an HCL text. Raises HclError; a wrong word is told before a wrong order of words."""
    parser = _Parser(text.replace("\r\n", "\n"))
    error: HclError | None = None
    members = Members()
    try:
        parser.read_members(members, in_object=False)
    except HclError as found:
        error = found
    if parser.scanner.error is not None:
        raise error_at(*parser.scanner.error)
    if error is not None:
        raise error
    return Document(members, parser.comments)


class _Parser:
    """One pass over the words, with one word of look-ahead."""

    def __init__(self, text: str) -> None:
        self.scanner = Scanner(text)
        self.comments: list[CommentGroup] = []
        self._token = Token(tokens.ILLEGAL, NOWHERE, "")
        self._is_unread = False
        self._lead: CommentGroup | None = None
        self._line: CommentGroup | None = None
        self._depth = 0

    # ------------------------------------------------------------------------------------------------ words

    def _scan(self) -> Token:
        if self._is_unread:
            self._is_unread = False
            return self._token
        previous = self._token
        self._token = self.scanner.scan()
        if self._token.kind == tokens.COMMENT:
            self._collect_comments(previous)
        return self._token

    def _unread(self) -> None:
        self._is_unread = True

    def _collect_comments(self, previous: Token) -> None:
        """Keep the comments before the next word: behind the previous one on its line, or above the next one."""
        group: CommentGroup | None = None
        if self._token.place.line == previous.place.line:
            group, end_line = self._comment_group(0)
            if self._token.place.line != end_line:
                self._line = group
        end_line = -1
        while self._token.kind == tokens.COMMENT:
            group, end_line = self._comment_group(1)
        if end_line + 1 == self._token.place.line and self._token.kind not in (tokens.RBRACE, tokens.RBRACK):
            self._lead = group

    def _comment_group(self, gap: int) -> tuple[CommentGroup, int]:
        """Comments at most `gap` lines apart, and the line on which the last one ends."""
        found: list[Token] = []
        end_line = self._token.place.line
        while self._token.kind == tokens.COMMENT and self._token.place.line <= end_line + gap:
            comment = self._token
            end_line = comment.place.line + (comment.text.count("\n") if comment.text[1:2] == "*" else 0)
            found.append(comment)
            self._token = self.scanner.scan()
        group = CommentGroup(found)
        self.comments.append(group)
        return group, end_line

    # ------------------------------------------------------------------------------------------------ members

    def read_members(self, found: Members, in_object: bool) -> None:
        """Add the members up to the closing brace, which is left, or to the end of the text."""
        while True:
            if in_object:
                closing = self._scan()
                self._unread()
                if closing.kind == tokens.RBRACE:
                    return
            try:
                found.items.append(self._member())
            except _EndOfText:
                return
            if self._scan().kind != tokens.COMMA:
                self._unread()

    def _member(self) -> Member:
        keys = self._keys()
        lead = self._take_lead()
        if self._token.kind == tokens.ASSIGN:
            member = Member(keys, assign=self._token.place, lead=lead, value=self._value())
        elif self._token.kind == tokens.LBRACE:
            member = Member(keys, self._object(), lead=lead)
        else:
            written = " ".join(key.text for key in keys)
            raise error_at(self._token.place, f"key '{written}' expected start of object ('{{') or assignment ('=')")
        if self._line is not None:
            member.line, self._line = self._line, None
        self._scan()
        if self._line is not None and member.value.place.line == keys[0].place.line:
            member.line, self._line = self._line, None
        self._unread()
        return member

    def _take_lead(self) -> CommentGroup | None:
        lead, self._lead = self._lead, None
        return lead

    def _keys(self) -> list[Token]:
        """The keys before `=` or `{`; the word behind them is the present one."""
        keys: list[Token] = []
        while True:
            token = self._scan()
            if token.kind in (tokens.IDENT, tokens.STRING):
                keys.append(token)
            elif token.kind == tokens.EOF:
                if keys:
                    return keys
                raise _EndOfText
            elif token.kind == tokens.RBRACE and keys:
                self._token = Token(tokens.EOF, token.place, token.text)
                return keys
            else:
                return self._checked_keys(keys, token)

    def _checked_keys(self, keys: list[Token], token: Token) -> list[Token]:
        if token.kind == tokens.ASSIGN:
            if len(keys) > 1:
                raise error_at(token.place, f"nested object expected: LBRACE got: {token.kind}")
            if not keys:
                raise error_at(token.place, "no object keys found!")
            return keys
        if token.kind == tokens.LBRACE:
            if not keys:
                raise error_at(token.place, f"expected: IDENT | STRING got: {token.kind}")
            return keys
        if token.kind == tokens.ILLEGAL:
            raise error_at(token.place, "illegal character")
        raise error_at(token.place, f"expected: IDENT | STRING | ASSIGN | LBRACE got: {token.kind}")

    # ------------------------------------------------------------------------------------------------ values

    def _value(self) -> Value:
        token = self._scan()
        if token.kind in tokens.SCALARS:
            return Literal(token)
        if token.kind == tokens.LBRACE:
            return self._object()
        if token.kind == tokens.LBRACK:
            return self._list()
        if token.kind == tokens.EOF:
            raise _EndOfText
        raise error_at(token.place, f"Unknown token: {token}")

    def _enter(self, place: Place) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise error_at(place, f"nested more than {MAX_DEPTH} deep")

    def _object(self) -> ObjectValue:
        """An object whose opening brace is the present word."""
        start = self._token.place
        self._enter(start)
        found = Members()
        try:
            self.read_members(found, in_object=True)
        except HclError:
            if self._token.kind != tokens.RBRACE:
                raise
        token = self._scan()
        if token.kind != tokens.RBRACE:
            raise error_at(token.place, f"object expected closing RBRACE got: {token.kind}")
        self._depth -= 1
        return ObjectValue(start, found, token.place)

    def _list(self) -> ListValue:
        """A list whose opening bracket is the present word."""
        found = ListValue(self._token.place)
        self._enter(found.place)
        needs_comma = False
        while True:
            token = self._scan()
            if needs_comma and token.kind not in (tokens.COMMA, tokens.RBRACK):
                message = f"error parsing list, expected comma or list end, got: {token.kind}"
                raise error_at(token.place, message)
            if token.kind in tokens.SCALARS:
                found.items.append(Literal(token, lead=self._take_lead()))
                needs_comma = True
            elif token.kind == tokens.COMMA:
                self._comment_behind(found)
                needs_comma = False
            elif token.kind == tokens.LBRACE:
                found.items.append(self._nested_object(token.place))
                needs_comma = True
            elif token.kind == tokens.LBRACK:
                found.items.append(self._nested_list(token.place))
            elif token.kind == tokens.RBRACK:
                self._depth -= 1
                return found
            else:
                raise error_at(token.place, f"unexpected token while parsing list: {token.kind}")

    def _comment_behind(self, found: ListValue) -> None:
        """A comment behind a list's comma belongs to the item before it."""
        self._scan()
        if self._line is not None and found.items:
            last = found.items[-1]
            if isinstance(last, Literal):
                last.line, self._line = self._line, None
        self._unread()

    def _nested_object(self, place: Place) -> ObjectValue:
        try:
            return self._object()
        except HclError as error:
            raise error_at(place, f"error while trying to parse object within list: {error}") from None

    def _nested_list(self, place: Place) -> ListValue:
        try:
            return self._list()
        except HclError as error:
            raise error_at(place, f"error while trying to parse list within list: {error}") from None
