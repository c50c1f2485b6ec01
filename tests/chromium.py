"""How the tests start Chromium, and what they open in it."""

import functools
import http.server
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"

# The first channel of a canvas, row by row. Read from a copy: browsers warn of repeated reading.
GREY = """(canvas) => {
  const [w, h] = [canvas.width, canvas.height];
  const copy = Object.assign(document.createElement("canvas"), { width: w, height: h });
  const context = copy.getContext("2d");
  context.drawImage(canvas, 0, 0);
  const data = context.getImageData(0, 0, w, h).data;
  return Array.from({ length: w * h }, (_, k) => data[4 * k]);
}"""


def executable() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def served(folder: Path, scheme: str):
    """The address of a folder: over "http" from a server on this machine, or as "file"."""
    if scheme == "file":
        yield folder.as_uri()
        return
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def watch(page, url: str) -> list[str]:
    """A list that fills with what goes wrong: complaints, failures, requests to elsewhere."""
    wrong, origin = [], url.split("/")[:3]

    def asked(request):
        inside = request.url.startswith(("data:", "blob:"))
        if not inside and request.url.split("/")[:3] != origin:
            wrong.append(f"left the page: {request.url}")

    page.on("request", asked)
    page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda r: wrong.append(f"failed: {r.url}"))
    page.on("response", lambda r: r.status >= 400 and wrong.append(f"{r.status}: {r.url}"))
    return wrong
