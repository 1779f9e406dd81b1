"""Protobuf lint: the contract under protos/ is documented, consistently named, versioned and append-only.

Rules: package `lictor.v1`; file, message, enum, service and RPC carry a comment where the name alone does not say it
(services, RPCs and enums always); names in the styles of the protobuf guide; enum values start with the enum's
name and zero is …_UNSPECIFIED; no field number or name is reused or changed against `protos/lock.json` (append-only).
`--update` writes the present contract into the lock.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from proto_schema_parser import ast
from proto_schema_parser.parser import Parser

ROOT = Path(__file__).resolve().parent.parent / "protos"
LOCK = ROOT / "lock.json"
PACKAGE = "lictor.v1"
PASCAL = re.compile(r"^[A-Z][A-Za-z0-9]*$")
SNAKE = re.compile(r"^[a-z][a-z0-9_]*$")
UPPER = re.compile(r"^[A-Z][A-Z0-9_]*$")


def elements_with_comment(elements: list[object]) -> Iterator[tuple[object, bool]]:
    """Each element that is not a comment, with whether a comment stands right before it."""
    commented = False
    for element in elements:
        if isinstance(element, ast.Comment):
            commented = True
            continue
        yield element, commented
        commented = False


def constant_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


class Linter:
    """Collects the contract (`fields`: full name to number and type) and what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.contract: dict[str, str] = {}

    def file(self, path: Path) -> None:
        text = path.read_text()
        tree = Parser().parse(text)
        place = str(path.relative_to(ROOT))
        if not text.startswith("//"):
            self.problems.append(f"{place}: the file does not begin with a comment that says what it is")
        packages = [e.name for e in tree.file_elements if isinstance(e, ast.Package)]
        if packages != [PACKAGE]:
            self.problems.append(f"{place}: package is {packages}, expected {PACKAGE}")
        for element, commented in elements_with_comment(list(tree.file_elements)):
            if isinstance(element, ast.Message):
                self.message(place, PACKAGE, element)
            elif isinstance(element, ast.Enum):
                self.enum(place, PACKAGE, element, commented)
            elif isinstance(element, ast.Service):
                self.service(place, element, commented)

    def message(self, place: str, scope: str, message: ast.Message) -> None:
        name = f"{scope}.{message.name}"
        self.style(place, name, message.name, PASCAL)
        numbers: dict[int, str] = {}
        for element, commented in elements_with_comment(list(message.elements)):
            if isinstance(element, ast.Message):
                self.message(place, name, element)
            elif isinstance(element, ast.Enum):
                self.enum(place, name, element, commented)
            elif isinstance(element, ast.OneOf):
                for field in element.elements:
                    if isinstance(field, ast.Field):
                        self.field(place, name, field.name, field.number, field.type, numbers)
            elif isinstance(element, ast.MapField):
                kind = f"map<{element.key_type},{element.value_type}>"
                self.field(place, name, element.name, element.number, kind, numbers)
            elif isinstance(element, ast.Field):
                kind = f"{element.cardinality.value} " if element.cardinality else ""
                self.field(place, name, element.name, element.number, kind + element.type, numbers)

    def field(self, place: str, scope: str, name: str, number: int, kind: str, numbers: dict[int, str]) -> None:
        self.style(place, f"{scope}.{name}", name, SNAKE)
        if number in numbers:
            self.problems.append(f"{place}: {scope}: number {number} is both {numbers[number]} and {name}")
        numbers[number] = name
        self.contract[f"{scope}#{number}"] = f"{name}: {kind}"

    def enum(self, place: str, scope: str, enum: ast.Enum, commented: bool) -> None:
        name = f"{scope}.{enum.name}"
        self.style(place, name, enum.name, PASCAL)
        if not commented:
            self.problems.append(f"{place}: enum {name} has no comment")
        prefix = constant_case(enum.name) + "_"
        for value in enum.elements:
            if not isinstance(value, ast.EnumValue):
                continue
            self.style(place, f"{name}.{value.name}", value.name, UPPER)
            if not value.name.startswith(prefix):
                self.problems.append(f"{place}: {name}.{value.name} does not start with {prefix}")
            if value.number == 0 and value.name != prefix + "UNSPECIFIED":
                self.problems.append(f"{place}: {name}: zero is not {prefix}UNSPECIFIED")
            self.contract[f"{name}#{value.number}"] = value.name

    def service(self, place: str, service: ast.Service, commented: bool) -> None:
        name = f"{PACKAGE}.{service.name}"
        self.style(place, name, service.name, PASCAL)
        if not commented:
            self.problems.append(f"{place}: service {name} has no comment")
        for method, method_commented in elements_with_comment(list(service.elements)):
            if not isinstance(method, ast.Method):
                continue
            self.style(place, f"{name}.{method.name}", method.name, PASCAL)
            if not method_commented:
                self.problems.append(f"{place}: {name}.{method.name} has no comment")
            request, reply = method.input_type, method.output_type
            shape = (
                f"{'stream ' if request.stream else ''}{request.type}"
                f" -> {'stream ' if reply.stream else ''}{reply.type}"
            )
            self.contract[f"{name}.{method.name}"] = shape

    def style(self, place: str, full_name: str, name: str, pattern: re.Pattern[str]) -> None:
        if not pattern.match(name):
            self.problems.append(f"{place}: {full_name} is not named like {pattern.pattern}")

    def append_only(self, lock: dict[str, str]) -> None:
        for name, was in lock.items():
            now = self.contract.get(name)
            if now is None:
                self.problems.append(f"{name} ({was}) was removed: the contract is append-only")
            elif now != was:
                self.problems.append(f"{name} was {was} and is {now}: the contract is append-only")


def main() -> int:
    linter = Linter()
    for path in sorted(ROOT.rglob("*.proto")):
        linter.file(path)
    if "--update" in sys.argv[1:]:
        LOCK.write_text(json.dumps(linter.contract, indent=1, sort_keys=True) + "\n")
    linter.append_only(json.loads(LOCK.read_text()) if LOCK.exists() else {})
    for problem in linter.problems:
        print(problem)
    print(f"protobuf lint: {len(linter.contract)} names, {len(linter.problems)} problems")
    return 1 if linter.problems else 0


if __name__ == "__main__":
    sys.exit(main())
