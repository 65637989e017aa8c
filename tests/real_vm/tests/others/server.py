"""A server of the Model Context Protocol for tests, by either transport, written from the protocol's own text and no library.

    server.py stdio NAME
    server.py http NAME PORT

It speaks the generation with initialize. ~/mcp/NAME has every request in order, and what its client did wrong as "breach: …".
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TRANSPORT, NAME = sys.argv[1], sys.argv[2]
LOG = os.path.expanduser(f"~/mcp/{NAME}")
SESSION = "session-of-" + NAME
# What has been heard so far: nothing, initialize, and then its notification.
heard = []
ids = set()


def write(text):
    os.makedirs(os.path.dirname(LOG), exist_ok=True)
    with open(LOG, "a") as log:
        log.write(f"{text}\n")


def answer(message):
    """The answer to a message, or None where it wants none."""
    method, number, params = message.get("method"), message.get("id"), message.get("params") or {}
    write(" ".join(filter(None, [method, params.get("name") if method == "tools/call" else None])))
    if message.get("jsonrpc") != "2.0":
        write(f"breach: no message of the protocol: {message}")
    if number is None:
        if method != "notifications/initialized" or heard != ["initialize"]:
            write(f"breach: not now: {message}")
        heard.append(method)
        return None
    if number in ids:
        write(f"breach: a second request of one id: {message}")
    ids.add(number)
    if method == "initialize":
        if heard:
            write("breach: a second beginning")
        heard.append(method)
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": NAME, "version": "1"}}
    elif method in ("tools/list", "tools/call") and heard != ["initialize", "notifications/initialized"]:
        write("breach: before the beginning")
        return {"jsonrpc": "2.0", "id": number, "error": {"code": -32600, "message": "not initialized"}}
    elif method == "tools/list":
        schema = {"type": "object", "properties": {"say": {"type": "string"}}, "required": ["say"]}
        result = {"tools": [{"name": "echo", "description": "Repeats what is said.", "inputSchema": schema}]}
    elif method == "tools/call":
        result = {"content": [{"type": "text", "text": f"{NAME} heard {params['arguments']['say']}"}]}
    else:
        return {"jsonrpc": "2.0", "id": number, "error": {"code": -32601, "message": f"Method not found: {method}"}}
    return {"jsonrpc": "2.0", "id": number, "result": result}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", session=None):
        self.send_response(status)
        if body:
            self.send_header("Content-Type", "application/json")
        if session:
            self.send_header("Mcp-Session-Id", session)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_DELETE(self):
        write("DELETE" if self.headers.get("Mcp-Session-Id") == SESSION else "breach: DELETE of another session")
        self.reply(200)

    def do_GET(self):
        write(f"breach: GET {self.path}")
        self.reply(405)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method = message.get("method")
        if self.path != "/mcp" or self.headers.get("Accept") != "application/json, text/event-stream":
            write(f"breach: POST {self.path}, which accepts {self.headers.get('Accept')}")
        if method not in ("initialize", "server/discover") and self.headers.get("Mcp-Session-Id") != SESSION:
            write(f"breach: {method} without the session")
        answered = answer(message)
        if answered is None:
            return self.reply(202)
        self.reply(200, json.dumps(answered).encode(), SESSION if method == "initialize" else None)


if TRANSPORT == "http":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Handler).serve_forever()
for line in sys.stdin:
    said = answer(json.loads(line))
    if said is not None:
        print(json.dumps(said), flush=True)
