// What one tool call was, in words and kinds a person reads.

import { visible } from '@/text/visible';

export type StepKind = 'command' | 'edit' | 'look' | 'pointer' | 'keyboard' | 'browser' | 'plan' | 'evidence' | 'ask' | 'finish' | 'server' | 'other';

export interface Point {
  x: number;
  y: number;
}

export interface StepWords {
  kind: StepKind;
  /** A verb: what was done. */
  verb: string;
  /** With what: a command line, a path, typed text. */
  object: string;
  /** Where on the screen it happened. */
  point: Point | null;
}

type Fields = Record<string, unknown>;

const text = (fields: Fields, name: string): string => {
  const value = fields[name];
  return typeof value === 'string' ? value : '';
};

function pointOf(value: unknown): Point | null {
  if (!Array.isArray(value) || value.length !== 2) return null;
  const [x, y] = value as unknown[];
  return typeof x === 'number' && typeof y === 'number' && Number.isFinite(x) && Number.isFinite(y) ? { x, y } : null;
}

/** The first line of a text, cut: what a list shows. */
export function firstLine(words: string, longest = 300): string {
  const line = visible(words).split('\n').find((part) => part.trim() !== '')?.trim() ?? '';
  return line.length > longest ? `${line.slice(0, longest - 1)}…` : line;
}

const CLICKS: Record<string, string> = {
  left_click: 'Click',
  right_click: 'Right click',
  middle_click: 'Middle click',
  double_click: 'Double click',
  triple_click: 'Triple click',
  left_click_drag: 'Drag to',
  left_mouse_down: 'Press button',
  left_mouse_up: 'Release button',
  mouse_move: 'Move to',
};

function computer(fields: Fields): StepWords {
  const action = text(fields, 'action');
  const point = pointOf(fields['coordinate']);
  const at = point === null ? '' : `${point.x}, ${point.y}`;
  const typed = text(fields, 'text');
  const click = CLICKS[action];
  if (click !== undefined) return { kind: 'pointer', verb: click, object: at, point };
  switch (action) {
    case 'screenshot':
      return { kind: 'look', verb: 'Look at the screen', object: '', point };
    case 'zoom':
      return { kind: 'look', verb: 'Look closer', object: Array.isArray(fields['region']) ? fields['region'].join(', ') : '', point };
    case 'scroll':
      return { kind: 'pointer', verb: `Scroll ${text(fields, 'scroll_direction')}`.trim(), object: at, point };
    case 'type':
      return { kind: 'keyboard', verb: 'Type', object: firstLine(typed), point };
    case 'key':
      return { kind: 'keyboard', verb: 'Press', object: typed, point };
    case 'hold_key':
      return { kind: 'keyboard', verb: 'Hold', object: typed, point };
    case 'wait':
      return { kind: 'look', verb: 'Wait', object: typeof fields['duration'] === 'number' ? `${fields['duration']} s` : '', point };
    default:
      return { kind: 'look', verb: action === '' ? 'Use the computer' : action.replaceAll('_', ' '), object: at, point };
  }
}

function browser(fields: Fields): StepWords {
  const words = (verb: string, object: string): StepWords => ({ kind: 'browser', verb, object: firstLine(object), point: null });
  const reference = text(fields, 'reference');
  switch (text(fields, 'action')) {
    case 'open':
      return words('Open', text(fields, 'url'));
    case 'read':
      return words('Read the page', reference);
    case 'click':
      return words('Click in the page', reference);
    case 'fill':
      return words('Fill', `${reference}: ${text(fields, 'text')}`);
    case 'evaluate':
      return words('Evaluate', text(fields, 'expression'));
    case 'problems':
      return words('Look for errors of the page', '');
    default:
      return words('Use the browser', text(fields, 'action'));
  }
}

/** A call of a tool that a server of the repository has: `mcp__SERVER__TOOL`. */
function server(tool: string, fields: Fields): StepWords | null {
  const [, name, own] = /^mcp__(.+?)__(.+)$/.exec(tool) ?? [];
  if (name === undefined || own === undefined) return null;
  const values = Object.values(fields).filter((value) => ['string', 'number', 'boolean'].includes(typeof value));
  return { kind: 'server', verb: `${name} · ${own}`, object: firstLine(values.map(String).join(' ')), point: null };
}

const EDITS: Record<string, string> = { view: 'Read', create: 'Write', replace: 'Change', insert: 'Insert into', undo: 'Undo in' };

/** Puts a tool call into words. */
export function wordsOf(tool: string, input: unknown): StepWords {
  const fields: Fields = typeof input === 'object' && input !== null ? (input as Fields) : {};
  const plain = (kind: StepKind, verb: string, object: string): StepWords => ({ kind, verb, object, point: null });
  switch (tool) {
    case 'shell':
      return plain('command', fields['background'] === true ? 'Start' : 'Run', firstLine(text(fields, 'command')));
    case 'shell_output':
      return plain('command', 'Read output of', `step ${text(fields, 'step')}`);
    case 'shell_stop':
      return plain('command', 'Stop', `step ${text(fields, 'step')}`);
    case 'edit':
      return plain('edit', EDITS[text(fields, 'action')] ?? 'Edit', text(fields, 'path'));
    case 'computer':
      return computer(fields);
    case 'browser':
      return browser(fields);
    case 'spawn':
      return plain('other', 'Start a subagent', firstLine(text(fields, 'title')));
    case 'subagents':
      return plain('other', { list: 'Look at subagents', message: 'Write to', stop: 'Stop' }[text(fields, 'action')] ?? 'Subagents', text(fields, 'name'));
    case 'tell':
      return plain('other', 'Tell', firstLine(text(fields, 'text')));
    case 'plan':
      return plain('plan', 'Update the plan', '');
    case 'evidence':
      return plain('evidence', 'Note evidence', firstLine(text(fields, 'claim')));
    case 'ask':
      return plain('ask', 'Ask', firstLine(text(fields, 'question')));
    case 'verdict':
      return plain('finish', 'Judge the work', firstLine(text(fields, 'summary')));
    case 'finish':
      return plain('finish', 'Hand over', firstLine(text(fields, 'title')));
    default:
      return server(tool, fields) ?? plain('other', tool.replaceAll('_', ' '), '');
  }
}
