"""/v1/acl/rules/translate: legacy rules in the present language."""

from __future__ import annotations

from apid.core.errors import PERMISSION_DENIED, Forbidden, HttpError, PrefixedBadRequest
from apid.core.message import Request, Response, text_response
from apid.core.routes import Route
from apid.core.sniff import detect_content_type
from apid.endpoints.acl.area import NOT_FOUND, may_be_bad, without_blocking
from apid.endpoints.acl.tokens import TokenEndpoints
from lictor.acl import Authorizer
from lictor.acl.errors import RulesError
from lictor.acl.translate import translate
from lictor.state.rows import ACLToken

RULES = {"type": "string"}
NO_RULES = "The specified token does not have any rules set"


class TranslationEndpoints(TokenEndpoints):
    """Translates rules that are given, or those of a legacy token."""

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/acl/rules/translate",
                {
                    "POST": self._operation(
                        self.translate,
                        "Legacy rules in the present language, as text; nothing comes of nothing",
                        raw_body=True,
                        responses=may_be_bad("Not rules"),
                    )
                },
            ),
            Route(
                "/v1/acl/rules/translate/",
                {
                    "GET": self._operation(
                        self.translate_token,
                        "The rules of a legacy token in the present language",
                        "/v1/acl/rules/translate/{accessor_id}",
                        query=("dc", "stale", "consistent"),
                        result=RULES,
                        result_type="text/plain",
                        responses=may_be_bad("No ID"),
                    )
                },
            ),
        ]

    def translate(self, request: Request) -> Response:
        if not self._node.authorizer(request).acl_read():
            raise Forbidden(PERMISSION_DENIED)
        try:
            return _rules(translate(request.body.decode("utf-8", "surrogateescape")))
        except RulesError as error:
            raise PrefixedBadRequest(str(error)) from None

    async def translate_token(self, request: Request) -> Response:
        if not request.tail:
            raise PrefixedBadRequest("Missing token ID")
        options = without_blocking(self._reads.parse(request))
        return await self.read_by_accessor(request, options, _translated)


def _translated(row: ACLToken | None, authorizer: Authorizer) -> Response:
    if row is None:
        return text_response(Forbidden.status, NOT_FOUND)
    if not row.rules:
        return text_response(HttpError.status, NO_RULES)
    try:
        return _rules(translate(row.rules))
    except RulesError as error:
        return text_response(HttpError.status, f"Failed to parse legacy rules: {error}")


def _rules(text: str) -> Response:
    raw = text.encode("utf-8", "surrogateescape")
    return Response(200, raw, detect_content_type(raw) if raw else b"")
