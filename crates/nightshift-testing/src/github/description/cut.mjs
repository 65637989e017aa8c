// Cuts GitHub's published OpenAPI description down to the operations that Nightshift uses.
//
//     npm pack @octokit/openapi@23.0.2 && tar xzf octokit-openapi-23.0.2.tgz package/generated/api.github.com.json
//     node cut.mjs package/generated/api.github.com.json > github.json
//
// What is changed on the way: operations, schemas and examples that are not needed are left out; so are texts for
// readers (descriptions, links); requests may have no property that is not described; and GitHub's own examples are
// mended where they break GitHub's own schemas (a team's `type`, a repository's `language`, a collaborator's `role_name`). What
// is kept is as published.

import { readFileSync } from "node:fs";

const OPERATIONS = new Set([
  "repos/get", "users/get-authenticated",
  "apps/create-installation-access-token", "apps/get-repo-installation",
  "pulls/list", "pulls/create", "pulls/get", "pulls/update", "pulls/merge",
  "pulls/request-reviewers", "pulls/list-reviews", "pulls/list-review-comments",
  "pulls/create-reply-for-review-comment",
  "issues/get", "issues/list-for-repo", "issues/add-labels", "issues/list-comments", "issues/create-comment",
  "issues/list-comments-for-repo",
  "checks/list-for-ref", "repos/get-combined-status-for-ref", "repos/get-collaborator-permission-level",
]);

const source = JSON.parse(readFileSync(process.argv[2], "utf8"));
const cut = {
  openapi: source.openapi,
  info: { title: source.info.title, version: source.info.version, license: source.info.license },
  paths: {},
  components: { schemas: {}, responses: {}, parameters: {}, headers: {}, examples: {} },
};

const TEXTS = new Set(["description", "externalDocs", "x-github", "summary", "tags", "title", "deprecated"]);

// `names` says that the keys are names of things and not words of the format.
function copy(value, names = false) {
  if (Array.isArray(value)) return value.map((one) => copy(one));
  if (value === null || typeof value !== "object") return value;
  const result = {};
  for (const [key, inner] of Object.entries(value)) {
    if (!names && TEXTS.has(key)) continue;
    if (!names && (key === "example" || (key === "examples" && !Array.isArray(inner)) || key === "default")) {
      if (key === "examples") result[key] = firstExample(inner);
      continue;
    }
    result[key] = copy(inner, !names && (key === "properties" || key === "schemas"));
  }
  if (typeof result.$ref === "string") take(result.$ref);
  return result;
}

function firstExample(examples) {
  const [name, example] = Object.entries(examples)[0];
  const reference = example.$ref ?? example.value?.$ref;
  if (reference === undefined) return { [name]: { value: example.value } };
  take(reference);
  return { [name]: { $ref: reference } };
}

function take(reference) {
  const [, components, kind, name] = reference.split("/");
  if (components !== "components") throw new Error(`a reference elsewhere: ${reference}`);
  const there = cut.components[kind];
  if (name in there) return;
  there[name] = null; // A schema may contain itself.
  const found = source.components[kind][name];
  there[name] = kind === "examples" ? { value: found.value } : copy(found);
}

// Requests may have no property that is not described: a misspelt one would go unnoticed.
function close(schema) {
  if (schema === null || typeof schema !== "object") return;
  if (schema.properties && schema.additionalProperties === undefined) schema.additionalProperties = false;
  for (const inner of Object.values(schema.properties ?? {})) close(inner);
  for (const inner of [...(schema.oneOf ?? []), ...(schema.anyOf ?? []), schema.items]) close(inner);
}

for (const [path, methods] of Object.entries(source.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    if (!OPERATIONS.has(operation?.operationId)) continue;
    OPERATIONS.delete(operation.operationId);
    const kept = copy(operation);
    for (const media of Object.values(kept.requestBody?.content ?? {})) {
      delete media.examples;
      close(media.schema);
    }
    (cut.paths[path] ??= {})[method] = kept;
  }
}
if (OPERATIONS.size > 0) throw new Error(`not in the description: ${[...OPERATIONS].join(", ")}`);

// GitHub's own examples that break GitHub's own schemas.
function mend(value) {
  if (Array.isArray(value)) return value.forEach(mend);
  if (value === null || typeof value !== "object") return;
  for (const team of value.requested_teams ?? []) team.type ??= "organization";
  if ("forks_url" in value) value.language ??= null;
  if ("permission" in value && "role_name" in value) value.user.role_name ??= value.role_name;
  Object.values(value).forEach(mend);
}
mend(cut.components.examples);

process.stdout.write(JSON.stringify(cut) + "\n");
