"""``squall fault``: break something for a while, see what is broken, and mend it early.

Three depths, one command: the kind and the target decide whether a fault is a rule that processes
and links follow (``squall.fault_rules``) or something done to instances (``squall.fault_hosts``).
"""

from typing import TYPE_CHECKING, Annotated

import typer

from squall.output import JsonFlag, emit, table

if TYPE_CHECKING:
    from squall.fault_asked import Asked

ADD_HELP = """\
Put a fault into the lab; it ends by itself.

\b
IN A SERVICE   --on video | video.2 | '*'; also --share --route --tenant
  latency --ms [--jitter-ms]     wait before serving
  error [--code]                 answer with an error
  abort                          drop the connection or stream
  block --ms [--every-ms]        stop the whole event loop
  burn --ms                      spend so much CPU
  slow --factor                  let the station take so many times as long
  unhealthy                      fail the checks and serve all the same (gateway)
\b
ON A LINK      --on 'link:gateway>video' | 'link:gateway>video.1' | 'link:video>store-1'
               also --share --stream
  latency --ms [--jitter-ms]     bandwidth --kbps      slow_close --ms
  timeout [--ms]                 reset_peer [--ms]     limit_data --bytes
  slicer --bytes [--variation] [--us]
  down, or cut                   nobody gets through
  loading                        a store answers -LOADING
  reset_stream [--code]          gRPC streams are reset
  slow_headers --ms              an HTTP answer's head comes byte by byte
\b
TO A HOST      --on video | video.2; done to whole instances
  kill   stop   pause            held so until the fault ends
  restart                        SIGTERM, wait, start
  cpu --cores                    limit CPU, e.g. 0.1
  memory --mb                    limit resident memory
  isolate                        cut a store node off from the others (--on store-1; root)
\b
Every kind takes --ttl. What was done to a host is undone even if this command is killed.
"""

app = typer.Typer(
    help="Break something for a while: in a service, on a link, or a whole host.",
    no_args_is_help=True,
)

Number = float | None


@app.command("add", help=ADD_HELP)
def add(
    kind: Annotated[str, typer.Argument(help="What goes wrong, e.g. latency, down or pause.")],
    on: Annotated[str, typer.Option("--on", help="A service, a replica such as video.2, a link.")],
    ms: Annotated[Number, typer.Option("--ms", help="How long, in milliseconds.")] = None,
    jitter_ms: Annotated[
        Number, typer.Option("--jitter-ms", help="latency: so much more or less, evenly.")
    ] = None,
    every_ms: Annotated[
        Number, typer.Option("--every-ms", help="block: at most one block in that time.")
    ] = None,
    code: Annotated[
        str | None,
        typer.Option(
            "--code", help="error: UNAVAILABLE, NOT_FOUND, 503 ...; reset_stream: CANCEL, 8 ..."
        ),
    ] = None,
    factor: Annotated[Number, typer.Option("--factor", help="slow: so many times as long.")] = None,
    kbps: Annotated[
        Number, typer.Option("--kbps", help="bandwidth: kilobytes (not bits) a second.")
    ] = None,
    size: Annotated[
        Number, typer.Option("--bytes", help="slicer: a slice; limit_data: until it closes.")
    ] = None,
    variation: Annotated[
        Number, typer.Option("--variation", help="slicer: bytes more or less.")
    ] = None,
    us: Annotated[Number, typer.Option("--us", help="slicer: microseconds between slices.")] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Links: upstream, or downstream (the default).")
    ] = None,
    cores: Annotated[Number, typer.Option("--cores", help="cpu: how many it may use.")] = None,
    mb: Annotated[Number, typer.Option("--mb", help="memory: MiB it may hold.")] = None,
    share: Annotated[
        float, typer.Option("--share", help="Of requests, connections ..., 0..1.")
    ] = 1,
    route: Annotated[str, typer.Option("--route", help="Only this route or gRPC method.")] = "",
    tenant: Annotated[str, typer.Option("--tenant", help="Only this tenant's requests.")] = "",
    ttl: Annotated[str, typer.Option("--ttl", help="It ends by itself after this.")] = "60s",
    as_json: JsonFlag = False,
) -> None:
    """Put a fault into the lab; its help is ADD_HELP."""
    from squall.durations import parse_duration
    from squall.fault_asked import Asked

    params: dict[str, float | str | None] = {
        **{"ms": ms, "jitter_ms": jitter_ms, "every_ms": every_ms, "code": code, "factor": factor},
        **{"kbps": kbps, "bytes": size, "variation": variation, "us": us, "stream": stream},
        **{"cores": cores, "mb": mb},
    }
    given = {name: value for name, value in params.items() if value is not None}
    asked = Asked(kind, on, given, share, route, tenant, parse_duration(ttl, "--ttl"))
    asked.check_kind()
    raise typer.Exit(_begin(asked, as_json=as_json))


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """Show the faults in force, how long they still last, and the proof that they bit."""
    from kit.errors import LabEnvironmentError
    from squall.fault_hosts import standing
    from squall.fault_rules import list_rules
    from squall.output import say

    rows = standing()
    try:
        rows = [*list_rules(), *rows]
    except LabEnvironmentError as error:
        if not rows:
            raise
        say(f"squall: {error}; so only what is done to hosts can be told")
    columns = ("id", "what", "ends_in_s", "proof")
    text = table(columns, [[row[column] for column in columns] for row in rows])
    emit("squall.faults/1", {"faults": rows}, as_json=as_json, text=text if rows else "no faults")


@app.command("remove")
def remove(
    fault_id: Annotated[str, typer.Argument(help="An id that `squall fault list` shows.")],
    as_json: JsonFlag = False,
) -> None:
    """End a fault now."""
    _end(fault_id, as_json=as_json)


@app.command("clear")
def clear(
    fault_id: Annotated[
        str | None, typer.Argument(help="An id that `squall fault list` shows; else all.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every fault: the default.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """End every fault now, or one; a running drill's own are not touched unless named."""
    from kit.errors import ConfigError

    if fault_id is not None and everything:
        raise ConfigError("give an id, or --all, but not both")
    _end(fault_id, as_json=as_json)


def _begin(asked: "Asked", *, as_json: bool) -> int:
    if asked.is_of_host:
        from squall.fault_hosts import begin

        data, text, code = begin(asked)
    else:
        from squall.fault_rules import add_rule

        data, text, code = add_rule(asked)
    emit("squall.fault/1", data, as_json=as_json, text=text)
    return code


def _end(fault_id: str | None, *, as_json: bool) -> None:
    """End one fault or all: of hosts first, since one of them may hold control down."""
    from squall.fault_hosts import end, known_ids
    from squall.fault_rules import remove_rules

    ended = end(fault_id)
    told = [f"ended {proof['id']}: {proof['detail']}" for proof in ended]
    data: dict[str, object] = {"removed": [], "ended": ended}
    code = 0
    if fault_id is None or not ended:
        removed, text, code = remove_rules(fault_id, others=known_ids(), is_patient=bool(ended))
        data |= removed
        told += [text] if text or not told else []
    emit("squall.fault-removed/1", data, as_json=as_json, text="\n".join(told) or "no faults")
    raise typer.Exit(code)
