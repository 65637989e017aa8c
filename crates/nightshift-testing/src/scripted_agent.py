# A foreign agent that plays a script over the Agent Client Protocol, and polices its client. Arguments: the script, and the
# file that breaches of the protocol go into.
import json, os, subprocess, sys, threading, time, urllib.error, urllib.request

SCRIPT, BREACHES = sys.argv[1], sys.argv[2]
script = json.load(open(SCRIPT))
home = os.environ["HOME"]
kept = os.path.join(home, "agent-session.json")
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
out = threading.Lock()
state = {"initialized": False, "session": None, "prompting": None, "cancelled": False, "servers": [], "asked": 0}
answers = {}


def breach(what):
    with open(BREACHES, "a") as file:
        file.write(what + "\n")


def send(message):
    with out:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def update(what):
    send({"method": "session/update", "params": {"sessionId": state["session"], "update": what}})


def say(text, kind="agent_message_chunk"):
    update({"sessionUpdate": kind, "content": {"type": "text", "text": text}})


def port(url):
    # In a sandbox of this host the proxy has another port than in a real one.
    place = os.path.join(home, "proxy")
    for _ in range(600):
        if os.path.exists(place):
            return url.replace("127.0.0.1:3128", open(place).read().strip())
        time.sleep(0.05)
    breach("the proxy's port was not opened")
    return url


def post(url, body, headers):
    request = urllib.request.Request(port(url), json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    try:
        answer = direct.open(request)
        return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, OSError) as error:
        return 0, str(error)


class Tools:
    """The tools of the one server that a session is offered."""

    def __init__(self, server):
        self.server, self.process, self.next = server, None, 0
        if server.get("type") != "http":
            variables = {pair["name"]: pair["value"] for pair in server["env"]}
            variables["NIGHTSHIFT_TOOLS"] = port(variables["NIGHTSHIFT_TOOLS"])
            self.process = subprocess.Popen(
                [server["command"], *server["args"]], env={**os.environ, **variables}, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "scripted", "version": "1"}}
        self.ask("initialize", client)
        self.tell("notifications/initialized")
        names = [tool["name"] for tool in self.ask("tools/list", {})["tools"]]
        if names != ["shell", "shell_output", "shell_stop", "computer", "browser", "evidence", "ask", "finish"]:
            breach(f"the tools are {names}")

    def tell(self, method):
        self.exchange({"jsonrpc": "2.0", "method": method}, False)

    def ask(self, method, params):
        self.next += 1
        answer = self.exchange({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params}, True)
        if "error" in answer:
            return {"content": [{"type": "text", "text": str(answer["error"])}], "isError": True, "tools": []}
        return answer["result"]

    def exchange(self, message, answered):
        if self.process:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline()) if answered else None
        headers = {pair["name"]: pair["value"] for pair in self.server["headers"]}
        headers.update({"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"})
        status, text = post(self.server["url"], message, headers)
        if not answered:
            return None
        return json.loads(text) if status == 200 else {"error": f"{status} {text}"}


def call_tool(tools, name, arguments):
    result = tools.ask("tools/call", {"name": name, "arguments": arguments})
    parts = [part.get("text") or f"({part['type']} of {len(part.get('data', ''))} characters)" for part in result["content"]]
    return ("error: " if result.get("isError") else "") + "\n".join(parts)


def call_model(text):
    key = os.environ.get("ANTHROPIC_API_KEY", "")
    if not key.startswith("nightshift-"):
        breach(f"the key in the sandbox is {key}")
    body = {"model": "claude-sonnet-5-5", "max_tokens": 100, "stream": True,
            "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}
    status, text = post(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", body,
                        {"x-api-key": key, "anthropic-version": "2026-10-21"})
    return f"{status} {text}"


def permitted(call, command):
    state["asked"] += 1
    number = f"ask-{state['asked']}"
    answers[number] = threading.Event(), None
    options = [{"optionId": "yes", "name": "Yes", "kind": "allow_once"}, {"optionId": "no", "name": "No", "kind": "reject_once"}]
    send({"id": number, "method": "session/request_permission", "params": {
        "sessionId": state["session"], "toolCall": {"toolCallId": call, "rawInput": {"command": command}}, "options": options}})
    answers[number][0].wait(60)
    outcome = (answers[number][1] or {}).get("outcome", {})
    if outcome.get("outcome") not in ("selected", "cancelled"):
        breach(f"a question was answered with {outcome}")
    return outcome.get("optionId") == "yes"


def play(steps, number):
    tools, last, stop = None, "", "end_turn"
    for place, step in enumerate(steps):
        if state["cancelled"]:
            return "cancelled"
        call = f"c{number}-{place}"
        if "say" in step:
            say(step["say"].replace("{last}", last))
        elif "plan" in step:
            entries = [{"content": text, "priority": "medium", "status": status} for text, status in step["plan"]]
            update({"sessionUpdate": "plan", "entries": entries})
        elif "run" in step:
            command = step["run"]
            update({"sessionUpdate": "tool_call", "toolCallId": call, "title": command, "kind": "execute",
                    "status": "pending", "rawInput": {"command": command}})
            if step.get("asks") and not permitted(call, command):
                update({"sessionUpdate": "tool_call_update", "toolCallId": call, "status": "failed"})
                continue
            done = subprocess.run(["bash", "-c", command], cwd=state["cwd"], capture_output=True, text=True)
            last = done.stdout + done.stderr
            update({"sessionUpdate": "tool_call_update", "toolCallId": call,
                    "status": "completed" if done.returncode == 0 else "failed",
                    "content": [{"type": "content", "content": {"type": "text", "text": last}}]})
        elif "tool" in step:
            tools = tools or Tools(state["servers"][0])
            last = call_tool(tools, step["tool"], step.get("input", {}))
        elif "model" in step:
            last = call_model(step["model"])
        elif "raw" in step:
            with out:
                sys.stdout.write(step["raw"] + "\n")
                sys.stdout.flush()
        elif "exit" in step:
            print("the scripted agent gives up", file=sys.stderr, flush=True)
            os._exit(step["exit"])
        elif "hang" in step:
            while not state["cancelled"]:
                time.sleep(0.02)
        elif "stop" in step:
            stop = step["stop"]
        if "expect" in step and step["expect"] not in last:
            breach(f"{step['expect']!r} is not in {last!r}")
    return "cancelled" if state["cancelled"] else stop


def prompt(id, params):
    text = "".join(part["text"] for part in params["prompt"])
    with open(BREACHES + ".prompts", "a") as file:
        file.write(json.dumps(text) + "\n")
    saved = json.load(open(kept))
    number = saved["prompts"]
    json.dump({**saved, "prompts": number + 1}, open(kept, "w"))
    turns = script["turns"]
    if number >= len(turns):
        breach(f"there is no turn {number + 1} for: {text[:300]}")
        turn = []
    else:
        turn = turns[number]
    for step in turn:
        if "expectPrompt" in step and step["expectPrompt"] not in text:
            breach(f"turn {number + 1}: {step['expectPrompt']!r} is not in {text!r}")
    stop = play(turn, number + 1)
    state["prompting"] = None
    send({"id": id, "result": {"stopReason": stop}})


def open_session(params, loads):
    if not (os.path.isabs(params["cwd"]) and os.path.isdir(params["cwd"])):
        breach(f"the folder {params['cwd']} is none")
    if len(params["mcpServers"]) != 1:
        breach(f"the servers are {params['mcpServers']}")
    state["cwd"], state["servers"] = params["cwd"], params["mcpServers"]
    if loads:
        state["session"] = params["sessionId"]
        say("This was said long ago.")
    else:
        before = json.load(open(kept))["prompts"] if os.path.exists(kept) else 0
        state["session"] = f"session-{os.getpid()}"
        json.dump({"session": state["session"], "prompts": before}, open(kept, "w"))


def request(id, method, params):
    if method == "initialize":
        if params["protocolVersion"] != 1 or params["clientCapabilities"].get("terminal"):
            breach(f"initialize with {params}")
        state["initialized"] = True
        send({"id": id, "result": {
            "protocolVersion": script.get("version", 1),
            "agentCapabilities": {"loadSession": script.get("loads", True), "mcpCapabilities": {"http": script.get("http", True)}},
            "agentInfo": {"name": "scripted", "version": "1.0"}}})
    elif not state["initialized"]:
        breach(f"{method} before initialize")
    elif method in ("session/new", "session/load"):
        loads = method == "session/load"
        if loads and not (os.path.exists(kept) and json.load(open(kept))["session"] == params["sessionId"]):
            return send({"id": id, "error": {"code": -32002, "message": "no such session"}})
        open_session(params, loads)
        send({"id": id, "result": {} if loads else {"sessionId": state["session"]}})
    elif method == "session/prompt":
        if params["sessionId"] != state["session"] or state["prompting"]:
            breach("a prompt that does not fit")
        state["prompting"] = id
        threading.Thread(target=prompt, args=(id, params), daemon=True).start()
    else:
        breach(f"the method {method} is not known")
        send({"id": id, "error": {"code": -32601, "message": "Method not found"}})


for line in sys.stdin:
    message = json.loads(line)
    if message.get("jsonrpc") != "2.0":
        breach(f"no message of JSON-RPC: {line}")
    if "method" not in message:
        event, _ = answers[message["id"]]
        answers[message["id"]] = event, message.get("result")
        event.set()
    elif "id" in message:
        request(message["id"], message["method"], message["params"])
    elif message["method"] == "session/cancel":
        state["cancelled"] = True
    else:
        breach(f"the notification {message['method']} is not known")
