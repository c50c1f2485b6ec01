"""How the tests start Chromium, and what they open in it."""

import functools
import http.server
import json
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

from stn_course.cli.doctor import BROWSERS

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
WAIT = 240_000  # ms for whatever must come, on a busy machine too: less than a test's own time
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
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def served(folder: Path, scheme: str, headers: dict[str, str] | None = None):
    """The address of a folder: over "http" from a server on this machine, or as "file"."""
    if scheme == "file":
        yield folder.as_uri()
        return

    class Server(Quiet):
        def end_headers(self):
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

    handler = functools.partial(Server, directory=str(folder))
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

    def failed(request):
        # The test went on to the next page before this one's mark in the tab was there.
        left = "ERR_ABORTED" in str(request.failure) and request.url.endswith("/mark.svg")
        if not left:
            wrong.append(f"failed: {request.url}")

    page.on("requestfailed", failed)
    page.on("response", lambda r: r.status >= 400 and wrong.append(f"{r.status}: {r.url}"))
    return wrong


# A widget whose model is plain JavaScript: what it sets is there, and its listeners hear of it.
WIDGET_PAGE = """<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>widget</title>
<style>CSS</style><style>body { margin: 16px; background: #fff; }
[data-theme="dark"] body { background: #14181d; }</style></head><body><div id="figure"></div>
<script>
const given = STATE, listeners = {};
const model = {
  place: PLACE,
  get: (k) => given[k], saved: 0,
  set(k, v) { given[k] = v; (listeners["change:" + k] || []).forEach((f) => f()); },
  on(k, f) { (listeners[k] ||= []).push(f); },
  off(k, f) { listeners[k] = (listeners[k] || []).filter((g) => g !== f); },
  save_changes() { this.saved += 1; },
};
import(URL.createObjectURL(new Blob([SOURCE], { type: "text/javascript" }))).then((m) => {
  window.leave = m.default.render({ model, el: document.getElementById("figure") });
});
const pixels = () => {
  const c = document.querySelector("canvas.wp-output");
  const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  return Array.from({ length: c.width * c.height }, (_, k) => d[4 * k]);
};
</script></body></html>"""


def widget_page(path: Path, widget, module: str, style: str, place: int | None = None) -> Path:
    """Write a page with `widget` and no kernel; its script comes from a blob, not from a file.

    With a `place`, its number among the figures, it writes the page's address, as in the book.
    """
    state = {k: v for k, v in widget.get_state().items() if k[0] != "_" and k != "layout"}
    quoted = json.dumps(module).replace("</", "<\\/")
    page = WIDGET_PAGE.replace("CSS", style).replace("STATE", json.dumps(state))
    page = page.replace("PLACE", json.dumps(place))
    path.write_text(page.replace("SOURCE", quoted), encoding="utf-8")
    return path
