"""The world outside a sandbox, played: static files over HTTP and HTTPS on this machine.

    registry.py FOLDER CERTIFICATE KEY

Prints both ports as JSON, then a line for each request with the host it was for.
"""

import functools
import http.server
import json
import ssl
import sys
import threading


class Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        print(json.dumps({"host": self.headers.get("Host"), "path": self.path}), flush=True)


def serve(folder, context):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder))
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


folder, certificate, key = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
print(json.dumps({"http": serve(folder, None), "https": serve(folder, context)}), flush=True)
# Until whoever started it closes the pipe.
sys.stdin.read()
