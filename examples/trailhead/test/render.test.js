import assert from 'node:assert/strict';
import test from 'node:test';

import { escapeHtml, formatDay, renderNote, renderNotes, renderStatuses } from '../src/render.js';

const note = { id: 7, text: 'Fallen larch', trail: 'Ridge Loop', done: false, addedOn: '2024-05-18' };

test('all five special characters are escaped', () => {
  assert.equal(escapeHtml(`<a href="x">Tom & Ann's</a>`), '&lt;a href=&quot;x&quot;&gt;Tom &amp; Ann&#39;s&lt;/a&gt;');
});

test('a day is written short and does not depend on the time zone', () => {
  assert.equal(formatDay('2024-05-18'), '18 May');
  assert.equal(formatDay('2024-01-01'), '1 Jan');
});

test('an open note has an empty box, its trail and its day', () => {
  assert.equal(
    renderNote(note),
    `<li class="note" data-id="7">
  <input type="checkbox" id="note-7">
  <label for="note-7">Fallen larch</label>
  <span class="tag">Ridge Loop</span><time datetime="2024-05-18">18 May</time>
  <button type="button" class="remove" aria-label="Remove: Fallen larch">&times;</button>
</li>`,
  );
});

test('a done note is ticked', () => {
  const html = renderNote({ ...note, done: true });
  assert.match(html, /<li class="note is-done"/);
  assert.match(html, /id="note-7" checked>/);
});

test('a note without a trail has no tag', () => {
  assert.doesNotMatch(renderNote({ ...note, trail: '' }), /class="tag"/);
});

test('markup in a note stays text', () => {
  const html = renderNote({ ...note, text: '"><img src=x onerror=alert(1)>', trail: '<b>' });
  assert.doesNotMatch(html, /<img|<b>/);
  assert.match(html, /aria-label="Remove: &quot;&gt;&lt;img/);
});

test('an empty list says why it is empty', () => {
  assert.equal(renderNotes([]), '<li class="empty">Nothing here. Enjoy the walk.</li>');
  assert.equal(renderNotes([], ' <b> '), '<li class="empty">Nothing matches “&lt;b&gt;”.</li>');
});

test('only the selected status is pressed', () => {
  const html = renderStatuses({ open: 3, done: 2, all: 5 }, 'done');
  assert.deepEqual(
    [...html.matchAll(/data-status="(\w+)" aria-pressed="(\w+)"/g)].map(([, status, pressed]) => [status, pressed]),
    [['open', 'false'], ['done', 'true'], ['all', 'false']],
  );
  assert.match(html, /All <span class="count">5<\/span>/);
});
