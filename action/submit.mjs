// Gives a task to a Nightshift server and waits until a pull request is there, for the GitHub Action (../action.yml).
//
// Everything comes by the environment: SERVER, SERVER_TOKEN, TASK, REPOSITORY (OWNER/NAME), BASE, BUDGET, and what a
// runner sets: GITHUB_SERVER_URL, GITHUB_OUTPUT, GITHUB_STEP_SUMMARY. Node alone is enough: no package is installed where the
// tokens are.
import { appendFileSync } from "node:fs";

const { env } = process;

/** How often the server is asked, in milliseconds; a task takes minutes. */
const EVERY = Number(env.POLL_MS ?? 5_000);

/** How long a server may be away (it is restarted, the network is cut) before the step gives up, in milliseconds. */
const PATIENCE = Number(env.PATIENCE_MS ?? 300_000);

/** What a person reads: what failed and what to do. */
class Refusal extends Error {}

/** A line for GitHub's log; line ends and percent signs would end the command. */
function say(level, text) {
  const line = String(text).replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
  console.log(`::${level}::${line}`);
}

function append(file, text) {
  if (file) appendFileSync(file, text);
}

async function ask(method, path, body) {
  let response;
  try {
    response = await fetch(new URL(`api/v1${path}`, `${env.SERVER.replace(/\/+$/, "")}/`), {
      method,
      headers: { authorization: `Bearer ${env.SERVER_TOKEN}`, ...(body && { "content-type": "application/json" }) },
      body: body && JSON.stringify(body),
      redirect: "error",
      signal: AbortSignal.timeout(60_000),
    });
  } catch (error) {
    const why = error.cause?.message || error.cause?.code || error.message;
    throw Object.assign(new Error(`${env.SERVER} does not answer: ${why}`), { passes: true });
  }
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  let refused = {};
  try {
    refused = JSON.parse(text);
  } catch {
    // A proxy on the way answers in its own words.
  }
  const said = refused.message ? `${refused.message} ${refused.hint ?? ""}`.trim() : `${env.SERVER} answered ${response.status}`;
  throw Object.assign(new Refusal(said), { passes: response.status >= 500 });
}

async function submit() {
  const request = {
    description: env.TASK,
    repository: `${env.GITHUB_SERVER_URL ?? "https://github.com"}/${env.REPOSITORY}`,
    ...(env.BASE && { baseBranch: env.BASE }),
  };
  if (env.BUDGET) {
    const budget = Number(env.BUDGET);
    if (!(budget > 0)) throw new Refusal(`The budget "${env.BUDGET}" is no number of dollars above 0.`);
    const { values } = await ask("GET", "/settings");
    request.limits = { ...values.limits, costMicrodollars: Math.round(budget * 1e6) };
  }
  // Asked once: an answer that is lost may belong to a task that was made.
  return ask("POST", "/tasks", request);
}

/** Waits until the run is decided. A server that is away for a while is waited for. */
async function decided(run) {
  let shown = "";
  let answered = Date.now();
  for (;;) {
    try {
      const detail = await ask("GET", `/runs/${run}`);
      answered = Date.now();
      const { state } = detail.summary;
      if (state.type !== shown) {
        shown = state.type;
        console.log(`${run}: ${shown}`);
      }
      if (!["queued", "preparing", "working", "delivering"].includes(state.type)) return detail;
    } catch (error) {
      if (!error.passes || Date.now() - answered > PATIENCE) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}

/** Why a run that has no pull request to look at stands still, and what to do. */
function reason(state) {
  const error = state.reason?.error;
  if (error) return `${error.message} ${error.hint}`.trim();
  if (state.type === "waiting") return `The agent asks: ${state.question}`;
  if (state.reason?.limit) return `A limit was reached: ${state.reason.limit}.`;
  return `The run is ${state.type}.`;
}

async function main() {
  for (const name of ["SERVER", "SERVER_TOKEN", "TASK", "REPOSITORY"]) {
    if (!env[name]) throw new Refusal(`The action was given no ${name.toLowerCase().replace("_", "-")}.`);
  }
  const { run } = await submit();
  // A workflow that is cancelled wants no pull request.
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, async () => {
      await ask("POST", `/runs/${run}/cancel`).catch((error) => say("warning", error.message));
      process.exit(130);
    });
  }
  append(env.GITHUB_OUTPUT, `run=${run}\n`);
  console.log(`${run}: ${env.SERVER}`);
  const { summary, pullRequest } = await decided(run);
  const { state } = summary;
  if (!["inReview", "merged"].includes(state.type)) {
    throw new Refusal(`${reason(state)} Go on with ${run} at ${env.SERVER}.`);
  }
  if (!pullRequest?.url) {
    throw new Refusal(
      `The server has no account for ${env.REPOSITORY}, so the pull request is kept there: look at ${run} at ${env.SERVER}, ` +
        "or give the server a token (docs/github.md).",
    );
  }
  append(env.GITHUB_OUTPUT, `pull-request=${state.pullRequest}\n`);
  append(env.GITHUB_STEP_SUMMARY, `Nightshift opened [#${state.pullRequest}](${pullRequest.url}).\n`);
  console.log(`${run}: pull request #${state.pullRequest}`);
}

try {
  await main();
} catch (error) {
  say("error", error.message);
  process.exitCode = 1;
}
