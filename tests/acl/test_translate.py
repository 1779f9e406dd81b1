"""Old rules printed in the present syntax: names, layout, comments."""

from __future__ import annotations

import pytest

from lictor.acl.errors import RulesError
from lictor.acl.rules import LEGACY, parse
from lictor.acl.translate import translate

OLD = """\
# for the web team
key "" { policy = "read" } // everywhere
/* free */

key "web/" {
  # theirs
  policy =   "write"
}
service "web" { policy = "write"  intentions = "read" }
"event" "deploy" {
  policy = "write" # ours
  longer_name = [1, "two",
    3]
}


operator = "read"
keyring = <<END
deny
END
"""

NEW = """\
# for the web team
key_prefix "" {
  policy = "read"
} // everywhere

/* free */

key_prefix "web/" {
  # theirs
  policy = "write"
}

service_prefix "web" {
  policy = "write"

  intentions = "read"
}

event_prefix "deploy" {
  policy = "write" # ours

  longer_name = [
    1,
    "two",
    3,
  ]
}

operator = "read"

keyring = <<END
deny
END"""


def test_named_rules_become_prefix_rules_and_the_rest_stays_with_its_comments() -> None:
    assert translate(OLD) == NEW


def test_json_comes_out_as_hcl() -> None:
    assert translate('{"key": {"a": {"policy": "read"}}, "operator": "write"}') == (
        'key_prefix "a" {\n  policy = "read"\n}\n\n"operator" = "write"'
    )


def test_the_new_text_means_what_the_old_one_meant() -> None:
    old, new = parse(OLD.split("keyring")[0], LEGACY), parse(NEW.split("keyring")[0])
    assert old.prefix == new.prefix and old.operator == new.operator


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("", ""),
        ("# only a comment\n", "# only a comment\n"),
        ("node {}\nagent {}", "node_prefix {}\nagent_prefix {}"),
        ('session "s" { session "t" {} }', 'session_prefix "s" {\n  session_prefix "t" {}\n}'),
        ('query "é" {\n a = 1\n bcd = 2 # x\n}', 'query_prefix "é" {\n  a   = 1\n  bcd = 2 # x\n}'),
        ("a = []\nb = {}", "a = []\n\nb = {}"),
    ],
)
def test_layout(text: str, printed: str) -> None:
    assert translate(text) == printed


def test_a_wrong_text_is_refused_with_the_place_of_the_mistake() -> None:
    with pytest.raises(RulesError, match="Failed to parse rules: At 1:5: nested object expected: LBRACE got: ASSIGN"):
        translate("a b = 1")
