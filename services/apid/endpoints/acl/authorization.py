"""/v1/internal/acl/authorize: may the request's token do this and that?"""

from __future__ import annotations

from apid.core.decoding import DecodeError, parse_json
from apid.core.errors import PrefixedBadRequest
from apid.core.message import Request, Response
from apid.core.routes import Route
from apid.endpoints import schemas
from apid.endpoints.acl import bodies
from apid.endpoints.acl.area import AclArea, Fields, may_be_bad, shown
from lictor.acl.questions import UnknownQuestion, answer

QUESTIONS_MAX = 64


class AuthorizationEndpoints(AclArea):
    """Answers up to 64 questions about the request's token."""

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/internal/acl/authorize",
                {
                    "POST": self._operation(
                        self.authorize,
                        "Whether the token may do each of these",
                        query=("dc",),
                        body=bodies.QUESTIONS,
                        result=schemas.array({"type": "object"}),
                        responses=may_be_bad("Not questions, or too many"),
                    )
                },
            )
        ]

    async def authorize(self, request: Request) -> Response:
        try:
            value = parse_json(request.body)
            questions: list[Fields] = [] if value is None else bodies.QUESTIONS.take(value, "value")
        except DecodeError as error:
            raise PrefixedBadRequest(f"Failed to decode request body: {error}") from None
        if len(questions) > QUESTIONS_MAX:
            raise PrefixedBadRequest(f"Refusing to process more than {QUESTIONS_MAX} authorizations at once")
        if not questions:
            return shown([])
        datacenter = request.get("dc")
        if datacenter and datacenter != self._node.config.datacenter:
            return await self._node.forwarder.send(request, datacenter)
        authorizer = self._node.authorizer(request)
        try:
            return shown([_answered(question, answer(authorizer, *_parts(question))) for question in questions])
        except UnknownQuestion as unknown:
            raise PrefixedBadRequest(str(unknown)) from None


def _parts(question: Fields) -> tuple[str, str, str]:
    return question.get("Resource", ""), question.get("Segment", ""), question.get("Access", "")


def _answered(question: Fields, allow: bool) -> Fields:
    resource, segment, access = _parts(question)
    named = {"Segment": segment} if segment else {}
    return {"Resource": resource, **named, "Access": access, "Allow": allow}
