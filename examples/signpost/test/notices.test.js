import assert from "node:assert/strict";
import { test } from "node:test";

import { render, titleOf } from "../src/notices.js";

test("a notice's title is its first heading", () => {
  assert.equal(titleOf("words\n\n# Bridge closed\n"), "Bridge closed");
});

test("a notice without a heading is named by its first words", () => {
  assert.equal(titleOf("The spring at the hut is dry."), "The spring at the hut");
});

test("tags in a notice are shown and not obeyed", () => {
  assert.match(render("<script>alert(1)</script> *really*"), /&lt;script&gt;.*<em>really<\/em>/);
});
