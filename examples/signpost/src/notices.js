import { marked } from "marked";

/** The first heading of a notice, or its first words. */
export function titleOf(markdown) {
  const heading = marked.lexer(markdown).find((token) => token.type === "heading");
  return heading ? heading.text : markdown.trim().split(/\s+/).slice(0, 5).join(" ");
}

/** A notice as HTML; tags that it has itself are shown as text. */
export function render(markdown) {
  const escaped = markdown.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return marked.parse(escaped);
}
