import assert from 'node:assert/strict';
import test from 'node:test';

import { countNotes, filterNotes } from '../src/filters.js';

const larch = { text: 'Fallen larch', trail: 'Ridge Loop', done: false };
const maps = { text: 'New maps', trail: '', done: true };
const board = { text: 'Loose board', trail: 'Lake Loop', done: true };
const notes = [larch, maps, board];

test('a status shows only its notes', () => {
  assert.deepEqual(filterNotes(notes, { status: 'open' }), [larch]);
  assert.deepEqual(filterNotes(notes, { status: 'done' }), [maps, board]);
  assert.deepEqual(filterNotes(notes, { status: 'all' }), notes);
});

test('a query looks in text and trail and ignores case', () => {
  assert.deepEqual(filterNotes(notes, { query: 'LOOP' }), [larch, board]);
  assert.deepEqual(filterNotes(notes, { query: 'maps' }), [maps]);
});

test('every word of a query must be found', () => {
  assert.deepEqual(filterNotes(notes, { query: ' loop  board ' }), [board]);
  assert.deepEqual(filterNotes(notes, { query: 'loop maps' }), []);
});

test('status and query apply together', () => {
  assert.deepEqual(filterNotes(notes, { status: 'open', query: 'loop' }), [larch]);
});

test('counts add up', () => {
  assert.deepEqual(countNotes(notes), { open: 1, done: 2, all: 3 });
  assert.deepEqual(countNotes([]), { open: 0, done: 0, all: 0 });
});
