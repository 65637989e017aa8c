"""A server of the Model Context Protocol at an address, for tests, written from the protocol's own text and no library.

    server_http.py FOLDER        writes its port to FOLDER/port

It speaks the generation with sessions. In its folder it writes down each call that it takes (calls.log), the keys that it was shown
(keys.log) and what its client does wrong (breaches.log). It forgets its session when FOLDER/forget is there.
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FOLDER = sys.argv[1]
LISTED = ["echo", "slow", "look", "key"]
sessions = []


def write(file, text):
    with open(os.path.join(FOLDER, file), "a") as log:
        log.write(f"{text}\n")


def wait_for(file):
    while not os.path.exists(os.path.join(FOLDER, file)):
        time.sleep(0.02)


def tool(name):
    hints = {"readOnlyHint": name == "look", "openWorldHint": False}
    return {"name": name, "description": f"Does {name}.", "inputSchema": {"type": "object"}, "annotations": hints}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", kind="application/json", session=None):
        self.send_response(status)
        if body:
            self.send_header("Content-Type", kind)
        if session:
            self.send_header("Mcp-Session-Id", session)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def in_session(self):
        if os.path.exists(os.path.join(FOLDER, "forget")):
            os.remove(os.path.join(FOLDER, "forget"))
            sessions.append("forgotten")
        if self.headers.get("MCP-Protocol-Version") != "2025-11-25":
            write("breaches.log", f"no version: {self.headers}")
        return self.headers.get("Mcp-Session-Id") == (sessions or [None])[-1]

    def do_DELETE(self):
        write("calls.log", "DELETE" if self.in_session() else "DELETE of another session")
        self.answer(200)

    def do_GET(self):
        write("breaches.log", "GET, without anything to take up")
        self.answer(405)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method, number = message["method"], message.get("id")
        if self.path != "/mcp" or self.headers.get("Accept") != "application/json, text/event-stream":
            write("breaches.log", f"{self.path} {self.headers}")
        if method == "server/discover":
            return self.answer(400, b"Bad Request: no session", "text/plain")
        if method == "initialize":
            sessions.append(f"session-{len(sessions) + 1}")
            server = {"name": "away", "version": "1"}
            result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
            return self.answer(200, json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode(), session=sessions[-1])
        if not self.in_session():
            return self.answer(404)
        if number is None:
            return self.answer(202)
        if method == "tools/list":
            result = {"tools": [tool(name) for name in LISTED]}
            return self.answer(200, json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode())
        name, arguments = message["params"]["name"], message["params"].get("arguments") or {}
        write("calls.log", name)
        words = f"away heard {arguments.get('say')}"
        if name == "key":
            shown = self.headers.get("Authorization", "none")
            write("keys.log", shown)
            words = f"I was shown {shown}"
        if name in ("slow", "look"):
            wait_for("go")
        result = {"content": [{"type": "text", "text": words}]}
        data = json.dumps({"jsonrpc": "2.0", "id": number, "result": result})
        self.answer(200, f": here it is\n\ndata: {data}\n\n".encode(), "text/event-stream")


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
write("port.new", str(server.server_port))
os.rename(os.path.join(FOLDER, "port.new"), os.path.join(FOLDER, "port"))
server.serve_forever()
