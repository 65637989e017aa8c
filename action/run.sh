#!/usr/bin/env bash
# Runs a task on this machine, for the GitHub Action (../action.yml). All values come by the environment: TASK, REPOSITORY, BASE,
# BUDGET, the key and the token, and what a runner sets.
set -euo pipefail

fail() { # words: says why the step fails
    echo "::error::$1"
    exit 1
}
[ -n "${NIGHTSHIFT_GITHUB_TOKEN:-}" ] || fail "The action was given no token: without one the pull request would stay on this runner and be lost."

# OWNER/NAME is a repository of the site that this runner belongs to.
case "$REPOSITORY" in
    *://*) ;;
    *) REPOSITORY="${GITHUB_SERVER_URL:-https://github.com}/$REPOSITORY" ;;
esac
arguments=(exec --repo "$REPOSITORY" --result-json)
if [ -n "${BUDGET:-}" ]; then arguments+=(--budget "$BUDGET"); fi
if [ -n "${BASE:-}" ]; then arguments+=(--base "$BASE"); fi
result="$RUNNER_TEMP/nightshift.json"
# What the agent says is shown as it comes, and is no command to the runner.
pause="stop-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
status=0
echo "::stop-commands::$pause"
# The task may begin with a hyphen, as a list does.
"$GITHUB_ACTION_PATH/dev" nightshift "${arguments[@]}" -- "$TASK" >"$result" || status=$?
"$GITHUB_ACTION_PATH/dev" nightshift stop || true
echo "::$pause::"

read_field() { # name: a field of the result, empty when there is none
    node -e 'const fs=require("fs");let r={};try{r=JSON.parse(fs.readFileSync(process.argv[1]))}catch{};process.stdout.write(String(r[process.argv[2]]??""))' \
        "$result" "$1"
}
run=$(read_field run)
number=$(read_field pullRequest)
url=$(read_field pullRequestUrl)
echo "run=$run" >>"$GITHUB_OUTPUT"
[ "$status" = 0 ] || fail "Nightshift ended with status $status ($(read_field state)): the reason is above."
[ -n "$url" ] || fail "The pull request is not at $REPOSITORY: its site is not the one of the configuration (github.url in docs/github.md)."
echo "pull-request=$number" >>"$GITHUB_OUTPUT"
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then echo "Nightshift opened [#$number]($url)." >>"$GITHUB_STEP_SUMMARY"; fi
