import { backend } from './backend';

/**
 * Takes the ticket out of the address (`#ticket=…`, as `nightshift open` and the desktop window have it) and changes it
 * for a session's cookie, which scripts cannot read. Without a ticket nothing happens: there may be a session already.
 */
export async function takeTicket(): Promise<void> {
  const ticket = ticketIn(location.hash);
  if (ticket === null) return;
  // It must not stay where it is copied, kept in the history, or photographed.
  history.replaceState(null, '', location.pathname + location.search);
  try {
    await signIn(ticket);
  } catch {
    // Used already, or expired: the first request tells, if there is no session from before.
  }
}

/** The ticket in an address or its end; `null` if there is none. */
export function ticketIn(text: string): string | null {
  const found = /(?:^|[#&?])ticket=([^&\s]+)/.exec(text);
  return found?.[1] === undefined ? null : decodeURIComponent(found[1]);
}

/** Opens a session; the answer sets its cookie. */
export async function signIn(ticket: string): Promise<void> {
  await backend.signIn(ticket);
}
