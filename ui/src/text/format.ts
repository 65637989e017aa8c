// Numbers, times and money as they are shown everywhere.

import { upright } from './visible';

/** Millionths of a dollar. */
export function money(micros: number): string {
  const dollars = micros / 1_000_000;
  if (micros === 0) return '$0';
  if (dollars < 0.01) return '<$0.01';
  return `$${dollars.toFixed(dollars < 100 ? 2 : 0)}`;
}

/** How long, in at most two units. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d`;
}

/** A clock that runs: 4:07 or 1:04:07. */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const two = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3_600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** How long ago, in one unit. */
export function ago(at: number, now: number): string {
  const seconds = Math.max(0, Math.floor((now - at) / 1_000));
  if (seconds < 45) return 'just now';
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.round(minutes / 60);
  if (hours < 24) return `${hours} h ago`;
  const days = Math.round(hours / 24);
  return days < 14 ? `${days} d ago` : new Date(at).toLocaleDateString('en', { day: 'numeric', month: 'short', year: 'numeric' });
}

export function timeOfDay(at: number): string {
  return new Date(at).toLocaleTimeString('en', { hour: '2-digit', minute: '2-digit', hour12: false });
}

/** A time to the second. */
export function preciseTime(at: number): string {
  return new Date(at).toLocaleTimeString('en', { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
}

export function count(number: number): string {
  return number.toLocaleString('en');
}

export function tokens(number: number): string {
  if (number < 1_000) return String(number);
  if (number < 1_000_000) return `${(number / 1_000).toFixed(number < 10_000 ? 1 : 0)}k`;
  return `${(number / 1_000_000).toFixed(1)}M`;
}

export function bytes(number: number): string {
  if (number < 1_024) return `${number} B`;
  if (number < 1_048_576) return `${(number / 1_024).toFixed(0)} KB`;
  return `${(number / 1_048_576).toFixed(1)} MB`;
}

/** The last part of a path or URL: how people call a repository. */
export function repositoryName(repository: string): string {
  const last = repository.replace(/[/\\]+$/, '').split(/[/\\:]/).at(-1) ?? repository;
  return last.replace(/\.git$/, '') || repository;
}

/** The first line of a description, without Markdown's marks of a heading: the title of a task. */
export function titleOf(description: string): string {
  const line = description.split('\n').find((part) => part.trim() !== '') ?? '(no description)';
  const title = upright(line.replace(/^#+\s*/, '').trim());
  return title.length > 120 ? `${title.slice(0, 119)}…` : title;
}
