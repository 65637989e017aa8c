// Notes to HTML. Pure: strings in, strings out, everything a person typed is escaped.

import { STATUSES } from './filters.js';

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const LABELS = { open: 'Open', done: 'Done', all: 'All' };

export function escapeHtml(text) {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]);
}

/** `2024-05-18` as `18 May`. */
export function formatDay(day) {
  return new Date(`${day}T00:00:00Z`).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });
}

export function renderNote({ id, text, trail, done, addedOn }) {
  const safe = escapeHtml(text);
  const tag = trail ? `<span class="tag">${escapeHtml(trail)}</span>` : '';
  return `<li class="note${done ? ' is-done' : ''}" data-id="${id}">
  <input type="checkbox" id="note-${id}"${done ? ' checked' : ''}>
  <label for="note-${id}">${safe}</label>
  ${tag}<time datetime="${addedOn}">${formatDay(addedOn)}</time>
  <button type="button" class="remove" aria-label="Remove: ${safe}">&times;</button>
</li>`;
}

/** `query` only decides what an empty list says. */
export function renderNotes(notes, query = '') {
  if (notes.length > 0) return notes.map(renderNote).join('\n');
  const reason = query.trim() ? `Nothing matches “${escapeHtml(query.trim())}”.` : 'Nothing here. Enjoy the walk.';
  return `<li class="empty">${reason}</li>`;
}

export function renderStatuses(counts, selected) {
  return STATUSES.map(
    (status) =>
      `<button type="button" id="status-${status}" data-status="${status}" aria-pressed="${status === selected}">` +
      `${LABELS[status]} <span class="count">${counts[status]}</span></button>`,
  ).join('');
}
