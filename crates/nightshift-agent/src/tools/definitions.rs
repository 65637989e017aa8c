//! The tools as they are offered to a model.

use nightshift_protocol::ToolDefinition;
use serde_json::{Value, json};

use crate::subagents::{Grant, Granted};

use super::browser::{ACTIONS as BROWSER_ACTIONS, MAX_URL};
use super::computer::{ACTIONS, MAX_SCROLL, MAX_SECONDS, MAX_TYPED};
use super::{
    ASK, BROWSER, DEFAULT_TIMEOUT_SECONDS, EVIDENCE, FINISH, MAX_PLAN_STEPS, MAX_SENTENCE,
    MAX_TIMEOUT_SECONDS, MAX_TITLE, PLAN, SHELL_OUTPUT, SHELL_STOP, subagents, verdict,
};

/// Every tool, for a screen of the given width and height in pixels, always in the same order: providers cache
/// what comes first in a request.
pub fn tool_definitions((width, height): (u32, u32)) -> Vec<ToolDefinition> {
    vec![
        shell(),
        shell_output(),
        shell_stop(),
        edit(),
        computer(width, height),
        browser(),
        plan(),
        evidence(),
        function(super::SPAWN, subagents::SPAWN_DESCRIPTION, subagents::spawn_schema()),
        function(super::SUBAGENTS, subagents::SUBAGENTS_DESCRIPTION, subagents::subagents_schema()),
        ask(),
        finish(),
    ]
}

/// The tools that a foreign agent has beside its own, likewise: what backs evidence, and what ends the work.
pub fn engine_definitions((width, height): (u32, u32)) -> Vec<ToolDefinition> {
    vec![
        shell(),
        shell_output(),
        shell_stop(),
        computer(width, height),
        browser(),
        evidence(),
        ask(),
        finish(),
    ]
}

/// The tools of a critic, likewise.
pub(crate) fn critic_definitions((width, height): (u32, u32)) -> Vec<ToolDefinition> {
    let verdict = function(super::VERDICT, verdict::DESCRIPTION, verdict::schema());
    vec![shell(), shell_output(), shell_stop(), computer(width, height), browser(), verdict]
}

/// The tools of a subagent, likewise: those it was granted, and the one to write to who started it.
pub(crate) fn subagent_definitions((width, height): (u32, u32), grant: Grant) -> Vec<ToolDefinition> {
    let mut tools = Vec::new();
    if grant.has(Granted::Shell) {
        tools.extend([shell(), shell_output(), shell_stop()]);
    }
    if grant.has(Granted::View) || grant.has(Granted::Edit) {
        tools.push(edit());
    }
    if grant.has(Granted::Computer) {
        tools.push(computer(width, height));
    }
    if grant.has(Granted::Browser) {
        tools.push(browser());
    }
    tools.push(function(super::TELL, subagents::TELL_DESCRIPTION, subagents::tell_schema()));
    tools
}

fn function(name: &str, description: &str, schema: Value) -> ToolDefinition {
    ToolDefinition::Function { name: name.to_owned(), description: description.to_owned(), schema }
}

pub(super) fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn shell() -> ToolDefinition {
    ToolDefinition::Shell {
        description: "Runs a command line with bash in the repository's folder and returns its output, standard output and \
         standard error together, and its exit status. Each call is a new shell: folder and variables do not carry \
         over. The program has no terminal and no input. Long output is shortened in the middle; search or cut \
         instead of printing everything. Start what does not end by itself, such as a server, with background."
            .to_owned(),
        schema: object(
            &["command"],
            json!({
                "command": {"type": "string", "description": "The command line, several lines allowed."},
                "timeout_seconds": {
                    "type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT_SECONDS,
                    "description": format!(
                        "Seconds after which the command is stopped, {DEFAULT_TIMEOUT_SECONDS} when absent."
                    ),
                },
                "background": {
                    "type": "boolean",
                    "description": "Return as soon as the command has started and leave it running. \
                                    Read it with shell_output, stop it with shell_stop.",
                },
            }),
        ),
    }
}

fn job_schema() -> Value {
    object(
        &["step"],
        json!({"step": {"type": "string", "description": "The step that started the command, for example \"4.1\"."}}),
    )
}

fn shell_output() -> ToolDefinition {
    function(
        SHELL_OUTPUT,
        "Returns what a background command has written since it was last read, and whether it still runs or with \
         which exit status it ended.",
        job_schema(),
    )
}

fn shell_stop() -> ToolDefinition {
    function(SHELL_STOP, "Stops a background command and every program it started.", job_schema())
}

fn edit() -> ToolDefinition {
    ToolDefinition::Editor {
        description: "Views and changes text files. \
         view shows a file with line numbers, or the part between from_line and to_line. \
         create writes a whole file and replaces one that is there. \
         replace puts new in the place of old, which has to be in the file exactly as written, white space included, \
         and only once unless all is true. \
         insert adds text after a line; 0 is before the first. \
         undo takes back the newest change of the file."
            .to_owned(),
        schema: object(
            &["action", "path"],
            json!({
                "action": {"type": "string", "enum": ["view", "create", "replace", "insert", "undo"]},
                "path": {"type": "string", "description": "Absolute, or relative to the repository's folder."},
                "from_line": {"type": "integer", "minimum": 1, "description": "view: first line shown."},
                "to_line": {"type": "integer", "minimum": 1, "description": "view: last line shown."},
                "text": {"type": "string", "description": "create: the whole file. insert: the new lines."},
                "old": {"type": "string", "description": "replace: what is there now, without line numbers."},
                "new": {"type": "string", "description": "replace: what shall be there; empty to delete."},
                "all": {"type": "boolean", "description": "replace: every occurrence."},
                "after_line": {"type": "integer", "minimum": 0, "description": "insert: the line before."},
            }),
        ),
    }
}

fn computer(width: u32, height: u32) -> ToolDefinition {
    let pixel = |description: &str| {
        json!({
            "type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 2, "maxItems": 2,
            "description": description,
        })
    };
    let schema = object(
        &["action"],
        json!({
            "action": {"type": "string", "enum": ACTIONS},
            "coordinate": pixel(
                "[x, y]. mouse_move and left_click_drag (its end) need it; clicks and scroll without it happen where \
                 the pointer is."
            ),
            "start_coordinate": pixel("[x, y] where left_click_drag begins."),
            "region": {
                "type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 4, "maxItems": 4,
                "description": "zoom: [left, top, right, bottom].",
            },
            "text": {
                "type": "string", "maxLength": MAX_TYPED,
                "description": "type: what is typed. key and hold_key: keys such as \"Return\" or \"ctrl+l\". Clicks, \
                                left_click_drag and scroll: keys held meanwhile, such as \"shift\".",
            },
            "scroll_direction": {"type": "string", "enum": ["up", "down", "left", "right"]},
            "scroll_amount": {
                "type": "integer", "minimum": 1, "maximum": MAX_SCROLL, "description": "Notches of the wheel.",
            },
            "duration": {
                "type": "number", "exclusiveMinimum": 0, "maximum": MAX_SECONDS,
                "description": "hold_key and wait: seconds.",
            },
        }),
    );
    let description = "Looks at the screen and uses mouse and keyboard. Each action returns when the screen has settled. \
                       Several actions in one turn are carried out in order, and after one that fails the rest is not \
                       carried out."
        .to_owned();
    ToolDefinition::Computer { description, schema, width, height }
}

fn browser() -> ToolDefinition {
    function(
        BROWSER,
        "Uses the page in the browser by its structure, which is quicker and surer than by the screen. \
         open goes to a url and shows the page as an outline, in which what can be clicked or filled has a reference \
         such as [k7-42]; a reference is good until the page is left. \
         read shows the page again, or the part within a reference. \
         click clicks a reference. \
         fill replaces the text of a reference, or chooses an option by its words. \
         evaluate gives what a JavaScript expression comes to in the page. \
         problems lists console errors, failed requests and uncaught exceptions of the page. \
         Its steps can back evidence like commands. \
         What a page looks like only the screen shows: take a screenshot for evidence of it.",
        object(
            &["action"],
            json!({
                "action": {"type": "string", "enum": BROWSER_ACTIONS},
                "url": {"type": "string", "maxLength": MAX_URL, "description": "open: http, https, file or about."},
                "reference": {"type": "string", "description": "click, fill, read: as the outline has it."},
                "text": {"type": "string", "description": "fill: the whole new text."},
                "expression": {"type": "string", "description": "evaluate: awaited if it is a promise."},
            }),
        ),
    )
}

fn plan() -> ToolDefinition {
    function(
        PLAN,
        "Records your plan: all steps, in order, each time. The person sees it. Call it before you change anything \
         and whenever a step begins, ends, or turns out not to be needed.",
        object(
            &["steps"],
            json!({
                "steps": {
                    "type": "array", "minItems": 1, "maxItems": MAX_PLAN_STEPS,
                    "items": object(&["title", "state"], json!({
                        "title": {"type": "string", "maxLength": MAX_SENTENCE},
                        "state": {"type": "string", "enum": ["pending", "active", "done", "dropped"]},
                    })),
                },
            }),
        ),
    )
}

fn evidence() -> ToolDefinition {
    function(
        EVIDENCE,
        "Notes that a recorded step backs a claim, for the pull request: a step whose result had a screenshot, or a \
         shell command that ended. Note one for every acceptance criterion, and for the tests.",
        object(
            &["claim", "step"],
            json!({
                "claim": {
                    "type": "string", "maxLength": MAX_SENTENCE,
                    "description": "What is shown by the step, in one sentence.",
                },
                "step": {
                    "type": "string",
                    "description": "The step's number, as it stands at the end of its result, for example \"4.1\".",
                },
                "criterion": {
                    "type": "integer", "minimum": 1,
                    "description": "The number of the acceptance criterion that this shows, where the task has a list.",
                },
                "label": {
                    "type": "string", "maxLength": MAX_TITLE,
                    "description": "A word or two under the picture, for example \"before\" or \"after reload\".",
                },
            }),
        ),
    )
}

fn ask() -> ToolDefinition {
    function(
        ASK,
        "Asks the person who gave the task, and waits for the answer, possibly for hours. Only for what you can \
         neither find out nor decide yourself; name the choices and say which one you would take.",
        object(&["question"], json!({"question": {"type": "string"}})),
    )
}

fn finish() -> ToolDefinition {
    function(
        FINISH,
        "Hands the work over: your commits become a pull request. Needs evidence, of every acceptance criterion that \
         has a number unless not_verified says why there is none, and a plan in which every step is done or dropped. Call it alone, as the last thing.",
        object(
            &["title", "summary"],
            json!({
                "title": {
                    "type": "string", "maxLength": MAX_TITLE, "description": "The pull request's title, imperative.",
                },
                "summary": {
                    "type": "string",
                    "description": "What was changed and why, for a reviewer, in Markdown; where to look first.",
                },
                "not_verified": {
                    "type": "string", "description": "What you could not verify, and why. Empty when nothing.",
                },
                "answers": {
                    "type": "array",
                    "description": "Only when you were given feedback: one entry for each piece of it.",
                    "items": object(
                        &["name", "words", "settled"],
                        json!({
                            "name": {"type": "string", "description": "The feedback's name, for example f1."},
                            "words": {"type": "string", "description": "What you did about it, or why not."},
                            "settled": {"type": "boolean", "description": "Whether it is done with."},
                        }),
                    ),
                },
            }),
        ),
    )
}
