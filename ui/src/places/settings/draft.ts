// The owner's settings as they are typed: texts until they are whole, then values. It never asks the owner.

import type { HostSetting, SettingsValues } from '@/backend/types';

export interface Draft {
  engine: string;
  model: string;
  contextTokens: string;
  dollars: string;
  minutes: string;
  turns: string;
  sandboxes: string;
  memoryMib: string;
  processors: string;
  spare: boolean;
  diskReserveMib: string;
  diskSandboxMib: string;
  hosts: readonly HostSetting[];
  egressAllow: string;
  egressSetUp: string;
  egressPermit: string;
}

export type Field = keyof Draft;
export type Errors = Partial<Record<Field, string>>;

/** What each setting is called where changes are counted. */
export const NAMES: Record<Field, string> = {
  engine: 'engine',
  model: 'model',
  contextTokens: 'context window',
  dollars: 'budget',
  minutes: 'time',
  turns: 'model calls',
  sandboxes: 'sandboxes at once',
  memoryMib: 'memory',
  processors: 'processors',
  spare: 'spare clone',
  diskReserveMib: 'disk kept free',
  diskSandboxMib: 'disk of each',
  hosts: 'hosts',
  egressAllow: 'what sandboxes may reach',
  egressSetUp: 'what set-ups may reach',
  egressPermit: 'what repositories may ask for',
};

const lines = (hosts: readonly string[]) => hosts.join('\n');

/** One host a line; commas and blanks part them too, as people paste lists. */
export function hostsIn(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter((host) => host !== ''))];
}

export function draftOf(values: SettingsValues): Draft {
  return {
    engine: values.engine,
    model: values.model,
    contextTokens: values.contextTokens == null ? '' : String(values.contextTokens),
    dollars: String(values.limits.costMicrodollars / 1_000_000),
    minutes: String(values.limits.seconds / 60),
    turns: String(values.limits.turns),
    sandboxes: values.sandboxes == null ? '' : String(values.sandboxes),
    memoryMib: String(values.memoryMib),
    processors: String(values.processors),
    spare: values.spare,
    diskReserveMib: values.diskReserveMib == null ? '' : String(values.diskReserveMib),
    diskSandboxMib: String(values.diskSandboxMib),
    hosts: values.hosts,
    egressAllow: lines(values.egressAllow),
    egressSetUp: lines(values.egressSetUp),
    egressPermit: lines(values.egressPermit),
  };
}

/** Reads a draft; where something is no value, why. What only the owner can judge it judges when it is saved. */
export function valuesOf(draft: Draft, before: SettingsValues): { values: SettingsValues; errors: Errors } {
  const errors: Errors = {};
  const whole = (field: Field, text: string, least: number, most: number): number => {
    const number = Number(text);
    if (text.trim() === '' || !Number.isInteger(number) || number < least || number > most) errors[field] = `A whole number from ${least.toLocaleString('en')} to ${most.toLocaleString('en')}`;
    return number;
  };
  const perhaps = (field: Field, text: string, least: number, most: number) => (text.trim() === '' ? null : whole(field, text, least, most));
  const dollars = Number(draft.dollars);
  if (draft.dollars.trim() === '' || !Number.isFinite(dollars) || dollars < 0.01 || dollars > 100_000) errors.dollars = 'From 0.01 to 100,000';
  if (draft.model.trim() === '') errors.model = 'A model, as the list has it';
  for (const host of draft.hosts) if (host.name.trim() === '' || host.uri.trim() === '') errors.hosts = 'Each host has a name and an address';
  const values: SettingsValues = {
    engine: draft.engine,
    model: draft.model.trim(),
    contextTokens: perhaps('contextTokens', draft.contextTokens, 16_000, 10_000_000),
    limits: { ...before.limits, costMicrodollars: Math.round(dollars * 1_000_000), seconds: whole('minutes', draft.minutes, 1, 100_000) * 60, turns: whole('turns', draft.turns, 1, 9_000) },
    sandboxes: perhaps('sandboxes', draft.sandboxes, 1, 1_000),
    memoryMib: whole('memoryMib', draft.memoryMib, 512, 65_536),
    processors: whole('processors', draft.processors, 1, 64),
    spare: draft.spare,
    diskReserveMib: perhaps('diskReserveMib', draft.diskReserveMib, 0, 1_000_000_000),
    diskSandboxMib: draft.diskSandboxMib.trim() === '0' ? 0 : whole('diskSandboxMib', draft.diskSandboxMib, 256, 1_000_000_000),
    hosts: [...draft.hosts],
    egressAllow: hostsIn(draft.egressAllow),
    egressSetUp: hostsIn(draft.egressSetUp),
    egressPermit: hostsIn(draft.egressPermit),
  };
  return { values, errors };
}

/** Which settings a draft has other than the owner. A list that is only written otherwise is no change. */
export function changesOf(draft: Draft, values: SettingsValues): Field[] {
  const now = draftOf(values);
  const same = (field: Field): boolean => {
    const [one, other] = [draft[field], now[field]];
    if (field.startsWith('egress')) return hostsIn(String(one)).join(' ') === hostsIn(String(other)).join(' ');
    if (field === 'hosts') return JSON.stringify(one) === JSON.stringify(other);
    return typeof one === 'string' ? one.trim() === other : one === other;
  };
  return (Object.keys(NAMES) as Field[]).filter((field) => !same(field));
}
