"""How the file's section becomes an algorithm, and what of a request is its key."""

import random
from collections import Counter

import pytest

from kit.source import SourceError
from lb.l7.affinity import Affinity, KeyOptions, StickyOptions, key_reader
from lb.l7.balancing import (
    BUILDS,
    AlgorithmName,
    BalanceOptions,
    SubsetOptions,
    ZoneOptions,
    build_algorithm,
    used_backends,
)
from lb.l7.config import Backend, parse_config
from lb.l7.headers import Headers
from lb.policy.roster import Algorithm
from resilience.policy.contract import Request
from tests.lb.l7.rig import answering, ok, rig

SIXTEEN = "0123456789abcdef"
ABC = tuple(Backend(address=f"{name}:1", name=name) for name in "abc")


def made(options: BalanceOptions, backends: tuple[Backend, ...] = ABC) -> Algorithm:
    """Build one that knows its backends."""
    algorithm = build_algorithm(options, backends, random.Random(5))
    algorithm.set_endpoints({one.instance: one.weight for one in backends})
    return algorithm


def picks(algorithm: Algorithm, count: int, key: str = "") -> Counter[str | None]:
    """Pick so many times; each request ends before the next begins."""
    return Counter(algorithm.pick(Request(key=key), (), float(n)) for n in range(count))


@pytest.mark.parametrize(
    ("name", "built"),
    [
        ("least_request", "p2c"),
        ("weighted_round_robin", "weighted_round_robin"),
        ("peak_ewma", "peak_ewma"),
        ("ring_hash", "key_hash"),
        ("maglev", "key_hash"),
        ("rendezvous", "key_hash"),
        ("bounded_load", "bounded_load"),
    ],
)
def test_each_name_is_an_algorithm(name: AlgorithmName, built: str) -> None:
    """And every one of them picks everybody in the long run."""
    algorithm = made(BalanceOptions(algorithm=name))
    assert algorithm.name == built
    assert set(picks(algorithm, 300)) == {"a", "b", "c"}


@pytest.mark.parametrize("name", BUILDS)
def test_a_key_has_one_backend(name: AlgorithmName) -> None:
    """The same for each request, and not the same for all keys."""
    algorithm = made(BalanceOptions(algorithm=name))
    owners = {key: picks(algorithm, 5, key) for key in map(str, range(30))}
    assert all(len(each) == 1 for each in owners.values())
    assert {name for each in owners.values() for name in each} == {"a", "b", "c"}


def test_weights_are_heeded() -> None:
    """Three to one, exactly, in turn."""
    heavy = (Backend(address="a:1", name="a", weight=3), Backend(address="b:1", name="b"))
    algorithm = made(BalanceOptions(algorithm="weighted_round_robin"), heavy)
    assert picks(algorithm, 40) == {"a": 30, "b": 10}


def test_a_canary_gets_its_share_whatever_it_weighs() -> None:
    """A tenth of the requests, within five deviations."""
    backends = (*ABC, Backend(address="d:1", name="d", canary=True))
    seen = picks(made(BalanceOptions(canary_share=0.1), backends), 4000)
    assert abs(seen["d"] - 400) < 5 * (4000 * 0.1 * 0.9) ** 0.5


def test_the_second_level_is_asked_when_the_first_is_short() -> None:
    """Nobody of level 1 while level 0 is whole; all when nobody of level 0 is left."""
    backends = (*ABC[:2], Backend(address="c:1", name="c", priority=1))
    algorithm = made(BalanceOptions(), backends)
    assert picks(algorithm, 200)["c"] == 0
    algorithm.set_candidates(["c"])
    assert picks(algorithm, 20) == {"c": 20}


def test_a_newcomer_starts_slowly() -> None:
    """Its share grows with the window."""
    options = BalanceOptions(algorithm="weighted_round_robin", slow_start_s=100.0)
    algorithm = made(options, ABC[:2])
    picks(algorithm, 300)  # both have been there for 300 s
    algorithm.set_endpoints({"a": 1.0, "b": 1.0, "c": 1.0})
    early = Counter(algorithm.pick(Request(), (), 300.0) for _ in range(100))
    late = Counter(algorithm.pick(Request(), (), 500.0) for _ in range(99))
    assert early["c"] < 15
    assert late["c"] == 33


@pytest.mark.parametrize(
    ("options", "target", "headers", "key"),
    [
        (KeyOptions(header="X-User"), b"/", [(b"x-user", b"ann")], "ann"),
        (KeyOptions(header="X-User"), b"/", [], ""),
        (KeyOptions(cookie="sid"), b"/", [(b"Cookie", b"a=1; sid=s7; b=2")], "s7"),
        (KeyOptions(cookie="sid"), b"/", [(b"Cookie", b"xsid=1"), (b"cookie", b"sid=2")], "2"),
        (KeyOptions(cookie="sid"), b"/", [(b"Cookie", b"sid")], ""),
        (KeyOptions(path=True), b"/v1/videos/7?page=2", [], "/v1/videos/7"),
    ],
)
def test_what_a_key_is(options: KeyOptions, target: bytes, headers: Headers, key: str) -> None:
    """A header, a cookie or the path; nothing where a request has none."""
    read = key_reader(options)
    assert read is not None
    assert read(target, headers) == key


def test_without_a_key_nothing_is_read() -> None:
    """So it costs nothing."""
    assert key_reader(KeyOptions()) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{algorithm: maglev}", "maglev needs a key; write key: {header: x-user}"),
        ("{key: {path: true}}", "least_request uses no key; ring_hash, maglev, rendezvous"),
        (
            "{algorithm: maglev, key: {path: true, header: x}}",
            "a key is one of header, cookie and path: name one",
        ),
        ("{algorithm: maglev, key: {header: 'x user'}}", "'x user' is no name of a header"),
        ("{balance_percent: 99}", "balance_percent is 99; give 100 or more"),
        ("{canary_share: 1.5}", "canary_share is 1.5; give 0 to 1"),
        ("{slow_start_s: -1}", "slow_start_s is -1; give 0 or more"),
        ("{sticky: {cookie: 'a b', secret: 0123456789abcdef}}", "'a b' is no name of a cookie"),
        ("{sticky: {secret: 0123456789abcdef}}", "needs a name; write cookie: NAME"),
        ("{sticky: {cookie: s, secret: short}}", "secret has 5 bytes; give 16 to 64"),
        ("{sticky: {cookie: s, secret: 0123456789abcdef, path: x}}", "path is 'x'; give one that"),
        ("{sticky: {cookie: s, secret: 0123456789abcdef, path: '/;a'}}", "path is '/;a'"),
        ("{sticky: {cookie: s, secret: 0123456789abcdef, max_age_s: -1}}", "max_age_s is -1"),
        ("{sticky: {cookie: s, secret: 0123456789abcdef, same_site: none}}", "secure: true only"),
        (
            "{sticky: {cookie: s, secret: 0123456789abcdef}, algorithm: maglev, key: {path: true}}",
            "a sticky cookie and a key each say where a request goes",
        ),
        ("{zone: {home: a}}", "how many proxies stand in a? write callers: {a: 1"),
        ("{zone: {callers: {a: 1}}}", "name the proxy's own zone"),
        ("{zone: {home: a, callers: {a: 1, b: -1}}}", "b has -1 proxies; give 0 or more"),
        ("{zone: {home: a, callers: {a: 1}, min_backends: -1}}", "min_backends is -1"),
        ("{subset: {client: -1}}", "client is -1; the first is 0"),
        ("{subset: {client: 0, size: 0}}", "size is 0; give 1 at least"),
        ("{algorithm: maglv}", "there is no maglv; did you mean maglev"),
        ("{algo: maglev}", "unknown key algo; did you mean algorithm"),
    ],
)
def test_a_mistake_is_told(text: str, told: str) -> None:
    """With its place in the file."""
    with pytest.raises(SourceError, match=r"^l7\.yaml:1:\d+: ") as caught:
        parse_config(f"balance: {text}")
    assert told in str(caught.value)


async def test_a_key_finds_its_backend_over_real_sockets() -> None:
    """Each user's requests, on connections of their own, end at one backend."""
    async with rig(*(answering(ok(name)) for name in (b"one", b"two", b"three"))) as lab:
        options = BalanceOptions(algorithm="maglev", key=KeyOptions(header="x-user"))
        lab.proxy.key_of = key_reader(options.key)
        lab.proxy.balancer.use(build_algorithm(options, (), random.Random(5)), 0.0)
        homes = {
            user: {(await lab.ask("/", f"X-User: {user}")).body for _ in range(3)}
            for user in map(str, range(12))
        }
    assert all(len(found) == 1 for found in homes.values())
    assert len({body for found in homes.values() for body in found}) == 3


def test_the_own_zone_is_used_as_far_as_it_is_fair() -> None:
    """Half of the proxies here and two thirds of the backends: all stays; a third: two thirds."""
    zone = ZoneOptions(home="here", callers={"here": 1, "there": 1}, min_backends=3)
    rich = picks(made(BalanceOptions(zone=zone), in_zones("here", "here", "there")), 300)
    assert rich["c"] == 0
    poor = picks(made(BalanceOptions(zone=zone), in_zones("here", "there", "there")), 3000)
    assert abs(poor["a"] - 2000) < 5 * (3000 * 2 / 9) ** 0.5


def test_few_backends_make_zones_pointless() -> None:
    """Below the least number all have their turn."""
    zone = ZoneOptions(home="here", callers={"here": 1, "there": 1})
    few = picks(made(BalanceOptions(zone=zone), in_zones("here", "here", "there")), 3000)
    assert abs(few["c"] - 1000) < 5 * (3000 * 2 / 9) ** 0.5


def test_proxies_share_out_the_backends() -> None:
    """Three proxies of two backends each: nobody is left out, none has more than the others."""
    six = tuple(Backend(address=f"{name}:1", name=name) for name in "abcdef")
    parts = [used_backends(SubsetOptions(client=n, size=2), six) for n in range(3)]
    assert sorted(one.instance for part in parts for one in part) == list("abcdef")
    assert used_backends(SubsetOptions(), six) is six


async def test_a_client_stays_where_it_was_until_that_is_gone() -> None:
    """The cookie is set once; when its backend has left, another is set."""
    sticky = StickyOptions(cookie="home", secret=SIXTEEN, max_age_s=60)
    options = BalanceOptions(sticky=sticky)
    async with rig(*(answering(ok(name)) for name in (b"one", b"two", b"three"))) as lab:
        lab.proxy.affinity = Affinity(sticky)
        lab.proxy.key_of = lab.proxy.affinity.key_of
        lab.proxy.balancer.use(build_algorithm(options, (), random.Random(5)), 0.0)
        first = await lab.ask("/")
        cookie, *attributes = first.headers["set-cookie"].split("; ")
        later = [await lab.ask("/", f"Cookie: a=1; {cookie}") for _ in range(9)]
        gone = next(b for b in lab.backends if b.requests >= 10)
        lab.proxy.set_endpoints([b.where for b in lab.backends if b is not gone])
        moved = await lab.ask("/", f"Cookie: {cookie}")
        forged = await lab.ask("/", "Cookie: home=gateway.1")
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=60"]
    assert {answer.body for answer in later} == {first.body}
    assert not any("set-cookie" in answer.headers for answer in later)
    assert moved.body != first.body
    assert moved.headers["set-cookie"].split("; ")[0] != cookie
    assert "set-cookie" in forged.headers


def in_zones(*zones: str) -> tuple[Backend, ...]:
    """Return ``a``, ``b``, ``c`` in these zones."""
    return tuple(
        Backend(address=f"{name}:1", name=name, zone=zone)
        for name, zone in zip("abc", zones, strict=True)
    )
