// Picks the webhook payloads that Nightshift reads out of GitHub's published examples.
//
//     npm pack @octokit/webhooks-examples@7.6.1 && tar xzf octokit-webhooks-examples-7.6.1.tgz
//     node cut-webhooks.mjs package/api.github.com/index.json > webhooks.json

import { readFileSync } from "node:fs";

const WANTED = {
  check_run: ["completed"],
  issue_comment: ["created"],
  issues: ["labeled"],
  pull_request: ["closed"],
  pull_request_review: ["submitted"],
  pull_request_review_comment: ["created"],
};

const source = JSON.parse(readFileSync(process.argv[2], "utf8"));
const cut = {};
for (const { name, examples } of source) {
  for (const action of WANTED[name] ?? []) {
    const example = examples.find((one) => one.action === action);
    if (!example) throw new Error(`there is no example of ${name}.${action}`);
    cut[`${name}.${action}`] = example;
  }
}
if (Object.keys(cut).length !== 6) throw new Error("an event is missing");
process.stdout.write(JSON.stringify(cut) + "\n");
