import assert from "node:assert/strict";
import { test } from "node:test";

import { app } from "../src/app.js";

async function serve(notices, visit) {
  const server = app(notices).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  try {
    await visit(`http://127.0.0.1:${server.address().port}`);
  } finally {
    server.close();
  }
}

test("the front page lists the notices", async () => {
  await serve(["# Water", "# Bridge closed"], async (site) => {
    const page = await (await fetch(site)).text();
    assert.match(page, /<a href="\/0">Water<\/a>.*<a href="\/1">Bridge closed<\/a>/);
  });
});

test("a notice that is not there is not found", async () => {
  await serve([], async (site) => assert.equal((await fetch(`${site}/3`)).status, 404));
});
