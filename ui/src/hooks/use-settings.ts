import { useSyncExternalStore } from 'react';

// What a person set for this browser alone. What concerns the runs is the owner's.

export interface Preferences {
  theme: 'system' | 'dark' | 'light';
  notifications: boolean;
  splitDiff: boolean;
  /** Since when "since you left" counts, in milliseconds. */
  leftAt: number;
  /** When this person was here last. */
  hereAt: number;
}

const DEFAULTS: Preferences = { theme: 'system', notifications: false, splitDiff: false, leftAt: 0, hereAt: 0 };
const KEY = 'nightshift.preferences';
const THEME_KEY = 'nightshift.theme';

function read(): Preferences {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    const theme = localStorage.getItem(THEME_KEY);
    const known = typeof kept === 'object' && kept !== null ? (kept as Partial<Preferences>) : {};
    return { ...DEFAULTS, ...known, theme: theme === 'dark' || theme === 'light' ? theme : 'system' };
  } catch {
    return DEFAULTS;
  }
}

let preferences = read();
const listeners = new Set<() => void>();

function tellAll(): void {
  for (const listener of listeners) listener();
}

/** Changes preferences and keeps them. */
export function prefer(change: Partial<Preferences>): void {
  preferences = { ...preferences, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences));
    localStorage.setItem(THEME_KEY, preferences.theme);
  } catch {
    // Storage is blocked or full: they hold until the page is closed.
  }
  showTheme();
  tellAll();
}

const systemDark = matchMedia('(prefers-color-scheme: dark)');

/** Puts the theme on the page. */
export function showTheme(): void {
  const dark = preferences.theme === 'dark' || (preferences.theme === 'system' && systemDark.matches);
  document.documentElement.dataset['theme'] = dark ? 'dark' : 'light';
}

systemDark.addEventListener('change', showTheme);
// Another window of this app changed them.
addEventListener('storage', (event) => {
  if (event.key !== KEY && event.key !== THEME_KEY) return;
  preferences = read();
  showTheme();
  tellAll();
});

/** Who was away for longer than this has left; a look into another window is no leaving. */
const AWAY_MS = 10 * 60_000;
const DAY_MS = 24 * 3_600_000;

/** Notes that somebody is here, and when they had left if they come back. */
function beHere(): void {
  if (document.hidden) return;
  const now = Date.now();
  const { hereAt, leftAt } = preferences;
  if (hereAt === 0) prefer({ hereAt: now, leftAt: now - DAY_MS });
  else if (now - hereAt > AWAY_MS) prefer({ hereAt: now, leftAt: hereAt });
  else if (now - hereAt > 30_000) prefer({ hereAt: now, leftAt });
}

beHere();
document.addEventListener('visibilitychange', beHere);
setInterval(beHere, 60_000);

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function usePreferences(): Preferences {
  return useSyncExternalStore(subscribe, () => preferences);
}

export function currentPreferences(): Preferences {
  return preferences;
}
