"""Users: rules read in order, globs as the server's, words as the server's."""

import hashlib

import pytest

from shard.policy.acl import (
    CATEGORIES,
    NOKEY,
    User,
    Users,
    allowed,
    key_patterns,
)
from tests.valkey import start_valkey

SECRET = hashlib.sha256(b"secret").hexdigest()

GLOBS = ["*", "app:*", "a?c", "[a-c]x", "[^a-c]x", "[c-a]x", "a[bc", r"a\*b", "**b", "[]x", "a.b"]
KEYS = ["", "app:1", "app", "abc", "ac", "ax", "dx", "ab", "a*b", "axb", "b", "x", "a.b", "aXb"]


def test_rules_are_read_in_order() -> None:
    """The last one that names a command wins."""
    commands = allowed(["+@all", "-@write", "+set"])

    assert b"GET" in commands
    assert b"SET" in commands
    assert b"DEL" not in commands
    assert allowed([]) == frozenset()


def test_categories_are_of_the_table() -> None:
    """A read isn't a write, and scripts are neither."""
    assert not CATEGORIES["read"] & CATEGORIES["write"]
    assert b"EVAL" not in CATEGORIES["read"] | CATEGORIES["write"]
    assert b"EVAL" in CATEGORIES["scripting"]


@pytest.mark.parametrize("rule", ["get", "+", "+@nothing", "+nosuch", "+client|id", "~a*"])
def test_a_wrong_rule_is_named(rule: str) -> None:
    """What it says stands in the error."""
    with pytest.raises(ValueError, match="rule"):
        allowed([rule])


@pytest.mark.parametrize("pattern", ["~app:*", "%R~a", "+get"])
def test_a_pattern_with_redis_s_sign_is_refused(pattern: str) -> None:
    """It would match nothing, silently."""
    with pytest.raises(ValueError, match="give the pattern alone"):
        key_patterns([pattern])


def test_globs_match_as_the_server_s_do() -> None:
    """Each pattern with each key, asked of a real server's KEYS."""
    with start_valkey() as server:
        for key in KEYS:
            server.cli("SET", key, "1")
        for pattern in GLOBS:
            theirs = set(server.cli("KEYS", pattern).split("\n"))
            matches = key_patterns([pattern]) or (lambda key: True)
            ours = {key for key in KEYS if matches(key.encode())}
            assert ours - {""} == theirs - {""}, pattern


def test_no_pattern_matches_no_key() -> None:
    """An empty list allows nothing."""
    matches = key_patterns([])

    assert matches is not None
    assert not matches(b"a")


def test_refusals_are_in_the_server_s_words() -> None:
    """Command first, then keys; every key counts."""
    user = User("app", (SECRET,), allowed(["+@read"]), key_patterns(["app:*"]))

    assert user.refusal(b"SET", [b"app:1"]) == (
        "NOPERM User app has no permissions to run the 'set' command"
    )
    assert user.refusal(b"MGET", [b"app:1", b"other"]) == NOKEY
    assert user.refusal(b"MGET", [b"app:1", b"app:2"]) is None
    assert user.refusal(b"AUTH", []) is None


def test_who_may_log_in() -> None:
    """By name and password; a default user without password is who a new client is."""
    users = Users((User("default"), User("app", (SECRET,))))

    assert users.first is not None
    assert users.log_in("app", b"secret") is not None
    assert users.log_in("app", b"wrong") is None
    assert users.log_in("nobody", b"secret") is None
    assert Users((User("app", (SECRET,)),)).first is None
    assert Users().first is not None


def test_a_name_may_not_come_twice() -> None:
    """The second would silently replace the first."""
    with pytest.raises(ValueError, match="twice"):
        Users((User("a", (SECRET,)), User("a", (SECRET,))))
