"""The backend of every cell: nginx that answers from memory, so that it is never the bottleneck.

``/small`` is a body of a dozen bytes, ``/large`` 64 KiB from the page cache; ``/upload`` answers
once the whole body is there (it is handed to an inner server without the body: nginx reads it all
first, which ``return`` alone would not wait for).
Not handled: a slow backend, chunked answers.
"""

from pathlib import Path

from bench.proxies.contender import HOST, MOST_CONNECTIONS

SMALL_BODY = b"hello, squall"
LARGE_BYTES = 64 * 1024
UPLOAD_BYTES = 16 * 1024
ENDLESS = 1_000_000_000  # requests on one connection; nginx closes after 1,000 by itself


def write_backend(folder: Path, port: int, host: str = HOST) -> Path:
    """Write its config and files; return the config's path."""
    (folder / "large").write_bytes(b"x" * LARGE_BYTES)
    path = folder / "backend.conf"
    path.write_text(_CONFIG.format(host=host, port=port, folder=folder, top=nginx_top(folder)))
    return path


def nginx_command(binary: Path, folder: Path, config: Path) -> list[str]:
    """Return the command that runs an nginx with a config of ours."""
    return [str(binary), "-p", str(folder), "-c", str(config), "-e", "stderr"]


def nginx_top(folder: Path, modules: str = "") -> str:
    """Return what every nginx of ours begins with.

    One process (``master_process off``): ended with its parent, and counted whole.
    """
    return (
        f"{modules}daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\n"
        f"error_log stderr crit;\nevents {{ worker_connections {MOST_CONNECTIONS}; }}\n"
    )


def nginx_temp(folder: Path) -> str:
    """Return the lines that keep its temporary files in our folder."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"  {kind}_temp_path {folder}/{kind};\n" for kind in kinds)


_CONFIG = (
    "{top}http {{\n  access_log off;\n  client_body_temp_path {folder}/body;\n"
    "  keepalive_requests " + str(ENDLESS) + ";\n"
    "  client_body_buffer_size 64k;\n  open_file_cache max=8 inactive=1h;\n"
    "  server {{\n    listen {host}:{port} backlog=2048;\n"
    '    location = /small {{ return 200 "' + SMALL_BODY.decode() + '"; }}\n'
    "    location = /large {{ root {folder}; }}\n"
    "    location = /upload {{\n      proxy_pass http://unix:{folder}/inner.sock:/;\n"
    '      proxy_pass_request_body off;\n      proxy_set_header Content-Length "";\n    }}\n'
    "  }}\n"
    '  server {{ listen unix:{folder}/inner.sock; location / {{ return 200 "taken"; }} }}\n}}\n'
)
