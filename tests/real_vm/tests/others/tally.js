#!/usr/bin/env node
// A server of the Model Context Protocol that is installed as a package: it adds up what it is given. Beside its answers it writes
// every request down, in order, in ~/mcp/tally.
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");

if (process.argv[2] === "--version") {
  console.log("tally 1.0.0");
  process.exit(0);
}

const folder = path.join(os.homedir(), "mcp");
fs.mkdirSync(folder, { recursive: true });
const write = (text) => fs.appendFileSync(path.join(folder, "tally"), `${text}\n`);

let sum = 0;
const results = {
  initialize: ({ protocolVersion }) => ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "tally", version: "1" } }),
  "tools/list": () => ({
    tools: [{ name: "add", description: "Adds a number to the sum.", inputSchema: { type: "object", properties: { number: { type: "integer" } } } }],
  }),
  "tools/call": ({ arguments: { number } }) => ({ content: [{ type: "text", text: `the sum is ${(sum += number)}` }] }),
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  write(method === "tools/call" ? `${method} ${params.name}` : method);
  if (id === undefined) return;
  const result = results[method];
  const said = result ? { result: result(params ?? {}) } : { error: { code: -32601, message: `Method not found: ${method}` } };
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id, ...said })}\n`);
});
