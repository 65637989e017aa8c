// The part of Markdown that pull requests and agents use, read into a tree of our own. Whatever is not in this tree
// cannot be shown: there is no raw HTML, no attribute, no address but those checked here. The viewer makes elements
// from it and never sets HTML.

import { visible } from './visible';

export type Inline =
  | { type: 'text'; text: string }
  | { type: 'code'; text: string }
  | { type: 'strong'; content: Inline[] }
  | { type: 'emphasis'; content: Inline[] }
  | { type: 'link'; href: string; content: Inline[] }
  | { type: 'image'; artifact: string; alt: string }
  | { type: 'break' };

export type Block =
  | { type: 'heading'; level: number; content: Inline[] }
  | { type: 'paragraph'; content: Inline[] }
  | { type: 'code'; text: string; language: string }
  | { type: 'list'; ordered: boolean; items: Block[][] }
  | { type: 'quote'; content: Block[] }
  | { type: 'rule' };

/** Lists and quotes deeper than this are shown as text: nobody writes them, and recursion must end. */
const DEEPEST = 8;

/** Reads a text. */
export function parseMarkdown(text: string): Block[] {
  return blocksOf(visible(text).replaceAll('\r\n', '\n').split('\n'), 0);
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`\s]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(\s+)(.*)$/;

function blocksOf(lines: readonly string[], depth: number): Block[] {
  const blocks: Block[] = [];
  let index = 0;
  const line = (at: number): string => lines[at] ?? '';
  while (index < lines.length) {
    const current = line(index);
    if (current.trim() === '') {
      index += 1;
      continue;
    }
    const fence = FENCE.exec(current);
    if (fence !== null) {
      const mark = fence[1] ?? '```';
      const body: string[] = [];
      index += 1;
      while (index < lines.length && !isClosing(line(index), mark)) {
        body.push(line(index));
        index += 1;
      }
      index += 1;
      blocks.push({ type: 'code', text: body.join('\n'), language: fence[2] ?? '' });
      continue;
    }
    const heading = HEADING.exec(current);
    if (heading !== null) {
      blocks.push({ type: 'heading', level: heading[1]?.length ?? 1, content: inlineOf(heading[2] ?? '') });
      index += 1;
      continue;
    }
    if (RULE.test(current)) {
      blocks.push({ type: 'rule' });
      index += 1;
      continue;
    }
    if (depth < DEEPEST && /^ {0,3}>/.test(current)) {
      const body: string[] = [];
      while (index < lines.length && /^ {0,3}>/.test(line(index))) {
        body.push(line(index).replace(/^ {0,3}> ?/, ''));
        index += 1;
      }
      blocks.push({ type: 'quote', content: blocksOf(body, depth + 1) });
      continue;
    }
    const item = ITEM.exec(current);
    if (depth < DEEPEST && item !== null) {
      const ordered = /\d/.test(item[2] ?? '');
      const items: Block[][] = [];
      while (index < lines.length) {
        const begin = ITEM.exec(line(index));
        if (begin === null || /\d/.test(begin[2] ?? '') !== ordered) break;
        const indent = (begin[1]?.length ?? 0) + (begin[2]?.length ?? 1) + Math.min(begin[3]?.length ?? 1, 4);
        const body = [begin[4] ?? ''];
        index += 1;
        while (index < lines.length && (line(index).trim() === '' || line(index).search(/\S/) >= indent || isLazy(line(index), body))) {
          if (line(index).trim() === '' && (index + 1 >= lines.length || line(index + 1).search(/\S/) < indent)) break;
          body.push(line(index).slice(Math.min(indent, Math.max(0, line(index).search(/\S/)))));
          index += 1;
        }
        items.push(blocksOf(body, depth + 1));
        while (index < lines.length && line(index).trim() === '' && ITEM.test(line(index + 1))) index += 1;
      }
      blocks.push({ type: 'list', ordered, items });
      continue;
    }
    const words: string[] = [current];
    index += 1;
    while (index < lines.length && line(index).trim() !== '' && !FENCE.test(line(index)) && !HEADING.test(line(index)) && !RULE.test(line(index)) && !ITEM.test(line(index)) && !(depth < DEEPEST && /^ {0,3}>/.test(line(index)))) {
      words.push(line(index));
      index += 1;
    }
    blocks.push({ type: 'paragraph', content: inlineOf(words.join('\n')) });
  }
  return blocks;
}

function isClosing(line: string, mark: string): boolean {
  const trimmed = line.trim();
  return trimmed.length >= mark.length && trimmed === mark.charAt(0).repeat(trimmed.length);
}

/** A paragraph in a list goes on without indentation. */
function isLazy(line: string, body: readonly string[]): boolean {
  return body.at(-1)?.trim() !== '' && line.trim() !== '' && !ITEM.test(line) && !HEADING.test(line) && !FENCE.test(line) && !RULE.test(line) && !/^ {0,3}>/.test(line);
}

/** Addresses a link may have; everything else is shown as the text it is. */
export function safeAddress(href: string): string | null {
  try {
    const url = new URL(href);
    return url.protocol === 'https:' || url.protocol === 'http:' || url.protocol === 'mailto:' ? url.href : null;
  } catch {
    return null;
  }
}

const ESCAPABLE = /[!-/:-@[-`{-~]/;
const IMAGE = /^!\[((?:[^\]\\]|\\.)*)\]\(artifact:([0-9a-f]{64})\)/;
const ARTIFACT = /^artifact:([0-9a-f]{64})$/;
const LINK = /^\[((?:[^\]\\]|\\.)*)\]\(([^\s()]+)\)/;
const BARE = /^https?:\/\/[^\s<>"'`]+[^\s<>"'`.,:;!?)\]]/;

const unescaped = (text: string) => text.replaceAll(/\\([!-/:-@[-`{-~])/g, '$1');

function inlineOf(text: string, depth = 0): Inline[] {
  const parts: Inline[] = [];
  let plain = '';
  const flush = () => {
    if (plain !== '') parts.push({ type: 'text', text: plain });
    plain = '';
  };
  let index = 0;
  while (index < text.length) {
    const character = text.charAt(index);
    const rest = text.slice(index, index + 4_000);
    if (character === '\\' && ESCAPABLE.test(text.charAt(index + 1))) {
      plain += text.charAt(index + 1);
      index += 2;
      continue;
    }
    if (character === '`') {
      const ticks = /^`+/.exec(rest)?.[0] ?? '`';
      const end = text.indexOf(ticks, index + ticks.length);
      if (end > 0 && text.charAt(end + ticks.length) !== '`') {
        flush();
        const inner = text.slice(index + ticks.length, end).replaceAll('\n', ' ');
        parts.push({ type: 'code', text: /^ .*[^ ].* $/.test(inner) ? inner.slice(1, -1) : inner });
        index = end + ticks.length;
        continue;
      }
      plain += ticks;
      index += ticks.length;
      continue;
    }
    const image = character === '!' ? IMAGE.exec(rest) : null;
    if (image !== null) {
      flush();
      parts.push({ type: 'image', alt: unescaped(image[1] ?? ''), artifact: image[2] ?? '' });
      index += image[0].length;
      continue;
    }
    const link = character === '[' ? LINK.exec(rest) : null;
    const artifact = ARTIFACT.exec(link?.[2] ?? '');
    const href = link === null ? null : artifact === null ? safeAddress(link[2] ?? '') : `/api/v1/artifacts/${artifact[1]}`;
    if (link !== null && href !== null && depth < DEEPEST) {
      flush();
      parts.push({ type: 'link', href, content: inlineOf(link[1] ?? '', depth + 1) });
      index += link[0].length;
      continue;
    }
    const bare = character === 'h' ? BARE.exec(rest) : null;
    const address = bare === null ? null : safeAddress(bare[0]);
    if (bare !== null && address !== null) {
      flush();
      parts.push({ type: 'link', href: address, content: [{ type: 'text', text: bare[0] }] });
      index += bare[0].length;
      continue;
    }
    const strong = depth < DEEPEST ? /^(\*\*|__)(?=\S)([\s\S]*?\S)\1/.exec(rest) : null;
    if (strong !== null) {
      flush();
      parts.push({ type: 'strong', content: inlineOf(strong[2] ?? '', depth + 1) });
      index += strong[0].length;
      continue;
    }
    const inWord = /[\p{L}\p{N}]$/u.test(plain);
    const emphasis = depth < DEEPEST && !(character === '_' && inWord) ? /^([*_])(?=\S)((?:[^*_\\]|\\.)*?\S)\1(?![\p{L}\p{N}])/u.exec(rest) : null;
    if (emphasis !== null) {
      flush();
      parts.push({ type: 'emphasis', content: inlineOf(emphasis[2] ?? '', depth + 1) });
      index += emphasis[0].length;
      continue;
    }
    if (character === '\n') {
      const hard = plain.endsWith('  ');
      plain = plain.trimEnd();
      if (hard) {
        flush();
        parts.push({ type: 'break' });
      } else plain += ' ';
      index += 1;
      continue;
    }
    plain += character;
    index += 1;
  }
  flush();
  return parts;
}
