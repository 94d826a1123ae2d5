"""The L7 proxy's file: what it says, and how it says that it is wrong."""

import pytest

from kit.source import SourceError
from lb.l7.config import L7Config, parse_config


def test_an_empty_mapping_is_the_shipped_proxy() -> None:
    """Every default is the lab's."""
    assert parse_config("{}") == L7Config()
    assert L7Config().listen == "0.0.0.0:8081"
    assert L7Config().backends == ()


def test_backends_have_names_addresses_and_weights() -> None:
    """A name is the address unless given."""
    config = parse_config(
        """
        backends:
          - {address: "127.0.0.1:9001"}
          - {address: "127.0.0.1:9002", name: b, weight: 3}
        """
    )
    first, second = config.backends
    assert (first.instance, first.host, first.port, first.weight) == (
        "127.0.0.1:9001",
        "127.0.0.1",
        9001,
        1.0,
    )
    assert (second.instance, second.weight) == ("b", 3.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("listten: '0.0.0.0:1'", "l7.yaml:1:1: unknown key listten; did you mean listen"),
        ("policies: {checks: of}", "l7.yaml:1:1: policies: there is no of; did you mean off"),
        ("listen: '80'", "l7.yaml:1:1: listen is '80'; give host:port"),
        ("listen: 'a:99999'", "l7.yaml:1:1: listen is 'a:99999'; give host:port"),
        ("backends:\n  - {address: nowhere}", "l7.yaml:2:6: address is 'nowhere'; give host:port"),
        (
            "backends:\n  - {address: 'a:1'}\n  - {address: 'a:1'}",
            "l7.yaml:3:5: a:1 stands here twice; give each a name of its own",
        ),
        (
            "backends:\n  - {address: 'a:1', weight: 0}",
            "l7.yaml:2:22: weight is 0; give more than 0, at most 1000",
        ),
        (
            "backends:\n  - {address: 'a:1', priority: -1}",
            "l7.yaml:2:22: priority is -1; 0 is the first",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    """File, line, column, the value and what to do."""
    with pytest.raises(SourceError) as caught:
        parse_config(text)
    assert str(caught.value).startswith(told)
