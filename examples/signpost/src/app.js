import express from "express";

import { render, titleOf } from "./notices.js";

/** The website over a list of notices, each a piece of Markdown. */
export function app(notices) {
  const site = express();
  site.get("/", (_request, response) => {
    const items = notices.map((notice, index) => `<li><a href="/${index}">${titleOf(notice)}</a></li>`);
    response.send(`<!doctype html><title>Signpost</title><ul>${items.join("")}</ul>`);
  });
  site.get("/:index", (request, response) => {
    const notice = notices[Number(request.params.index)];
    if (notice === undefined) {
      response.status(404).send("There is no such notice.");
    } else {
      response.send(`<!doctype html><title>${titleOf(notice)}</title>${render(notice)}`);
    }
  });
  return site;
}
