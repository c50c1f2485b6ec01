"""A mirror on 127.0.0.1 whose behaviour is the first part of the path: `/stall/name.gz`."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BEHAVIOURS = ("good", "stall", "mute", "drip", "truncate", "wrong", "refuse", "endless")


def _answer(handler: BaseHTTPRequestHandler, behaviour: str, path: Path, closing) -> None:
    """What a mirror of that behaviour sends; `closing` is set when the server is to end."""
    out = handler.wfile
    if behaviour == "refuse":
        return handler.send_error(403)
    if behaviour == "mute":  # takes the request and never answers
        closing.wait(60)
        return None
    handler.send_response(200)
    if behaviour == "endless":
        handler.end_headers()
        while not closing.is_set():
            out.write(bytes(1 << 20))
        return None
    body = path.read_bytes()
    half = len(body) // 2
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if behaviour == "good":
        out.write(body)
    elif behaviour == "wrong":
        out.write(body[:half] + bytes([body[half] ^ 1]) + body[half + 1 :])
    else:
        out.write(body[:half])  # truncate closes here
    out.flush()
    if behaviour == "stall":
        closing.wait(60)
    for i in range(half, len(body)) if behaviour == "drip" else ():
        if closing.wait(0.05):
            break
        out.write(body[i : i + 1])
    return None


@contextmanager
def serve(folder: Path):
    """Yields `(base URL, list of requested paths)`; the files are those of `folder`."""
    closing, asked = threading.Event(), []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def do_GET(self):
            asked.append(self.path)
            behaviour, name = self.path.strip("/").split("/")
            assert behaviour in BEHAVIOURS
            _answer(self, behaviour, folder / name, closing)

        def log_message(self, *_):
            pass

        def handle(self):
            try:
                super().handle()
            except ConnectionError:  # the client has given up, as it should
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
