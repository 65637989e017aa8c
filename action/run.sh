#!/usr/bin/env bash
# Runs a task on this machine, for the GitHub Action (../action.yml). All values come by the environment: TASK, REPOSITORY, BASE,
# BUDGET, the key and the token, and what a runner sets.
set -euo pipefail

arguments=(exec "$TASK" --repo "$REPOSITORY" --result-json)
if [ -n "${BUDGET:-}" ]; then arguments+=(--budget "$BUDGET"); fi
if [ -n "${BASE:-}" ]; then arguments+=(--base "$BASE"); fi
result="$RUNNER_TEMP/nightshift.json"
status=0
"$GITHUB_ACTION_PATH/dev" nightshift "${arguments[@]}" >"$result" || status=$?
read_field() { # name: a field of the result, empty when there is none
    node -e 'const fs=require("fs");let r={};try{r=JSON.parse(fs.readFileSync(process.argv[1]))}catch{};process.stdout.write(String(r[process.argv[2]]??""))' \
        "$result" "$1"
}
{
    echo "run=$(read_field run)"
    echo "pull-request=$(read_field pullRequest)"
} >>"$GITHUB_OUTPUT"
"$GITHUB_ACTION_PATH/dev" nightshift stop || true
exit "$status"
