import assert from 'node:assert/strict';
import test from 'node:test';

import { createStore, InvalidNote, NOTES_KEY } from '../src/store.js';
import { memoryStorage } from '../support/memory-storage.js';

const now = () => new Date('2024-06-01T10:00:00Z');
const bridge = { id: 1, text: 'Check the bridge', trail: 'Mill Brook', done: false, addedOn: '2024-06-01' };
const holding = (notes) => memoryStorage({ [NOTES_KEY]: JSON.stringify(notes) });

test('an added note is found again by another store on the same storage', () => {
  const storage = memoryStorage();
  const added = createStore(storage, { now }).add({ text: '  Check the bridge ', trail: 'Mill Brook' });
  assert.deepEqual(added, bridge);
  assert.deepEqual(createStore(storage, { now }).all(), [bridge]);
});

test('the newest note comes first and gets an id of its own', () => {
  const store = createStore(holding([bridge]), { now });
  store.add({ text: 'Mow the verge' });
  assert.deepEqual(store.all().map(({ id, text }) => [id, text]), [[2, 'Mow the verge'], [1, 'Check the bridge']]);
});

test('a note without text is refused and nothing is stored', () => {
  const storage = memoryStorage();
  assert.throws(() => createStore(storage, { now }).add({ text: '   ' }), new InvalidNote('A note needs a text.'));
  assert.equal(storage.getItem(NOTES_KEY), null);
});

test('a text that is too long is refused', () => {
  const store = createStore(memoryStorage(), { now });
  assert.throws(() => store.add({ text: 'x'.repeat(201) }), new InvalidNote('The text has more than 200 characters.'));
});

test('toggling ticks a note off and on again and leaves the others alone', () => {
  const mow = { ...bridge, id: 2, text: 'Mow the verge' };
  const store = createStore(holding([mow, bridge]), { now });
  store.toggle(1);
  assert.deepEqual(store.all(), [mow, { ...bridge, done: true }]);
  store.toggle(1);
  assert.deepEqual(store.all(), [mow, bridge]);
});

test('a removed note is gone', () => {
  const store = createStore(holding([bridge]), { now });
  store.remove(1);
  assert.deepEqual(store.all(), []);
});

test('samples show only until the first change is saved', () => {
  const store = createStore(memoryStorage(), { now, samples: [bridge] });
  assert.deepEqual(store.all(), [bridge]);
  store.remove(1);
  assert.deepEqual(store.all(), []);
});

test('what is not a note is dropped when reading', () => {
  assert.deepEqual(createStore(memoryStorage({ [NOTES_KEY]: '{broken' }), { now }).all(), []);
  assert.deepEqual(createStore(memoryStorage({ [NOTES_KEY]: '{"id":1}' }), { now }).all(), []);
  const mixed = [null, { ...bridge, id: '"><script>' }, { ...bridge, addedOn: '"><script>' }, bridge];
  assert.deepEqual(createStore(holding(mixed), { now }).all(), [bridge]);
});
