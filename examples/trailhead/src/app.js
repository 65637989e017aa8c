// Connects the modules to the page: the only file that touches the document.

import { countNotes, filterNotes } from './filters.js';
import { renderNotes, renderStatuses } from './render.js';
import { SAMPLE_NOTES } from './samples.js';
import { createStore, InvalidNote } from './store.js';

const store = createStore(localStorage, { now: () => new Date(), samples: SAMPLE_NOTES });
const view = { status: 'open', query: '' };

const form = document.querySelector('#add');
const message = document.querySelector('#message');
const list = document.querySelector('#notes');
const statuses = document.querySelector('#statuses');

function draw() {
  const notes = store.all();
  const focused = document.activeElement?.id;
  list.innerHTML = renderNotes(filterNotes(notes, view), view.query);
  statuses.innerHTML = renderStatuses(countNotes(notes), view.status);
  if (focused) document.getElementById(focused)?.focus();
}

function change(operation) {
  message.textContent = '';
  try {
    operation();
  } catch (error) {
    message.textContent = error instanceof InvalidNote ? error.message : `This was not saved: ${error.message}`;
  }
  draw();
}

const noteOf = (element) => Number(element.closest('[data-id]').dataset.id);

form.addEventListener('submit', (event) => {
  event.preventDefault();
  change(() => {
    store.add({ text: form.elements.text.value, trail: form.elements.trail.value });
    form.reset();
    form.elements.text.focus();
  });
});

list.addEventListener('change', (event) => change(() => store.toggle(noteOf(event.target))));

list.addEventListener('click', (event) => {
  if (event.target.matches('.remove')) change(() => store.remove(noteOf(event.target)));
});

statuses.addEventListener('click', (event) => {
  view.status = event.target.closest('button')?.dataset.status ?? view.status;
  draw();
});

document.querySelector('#search').addEventListener('input', (event) => {
  view.query = event.target.value;
  draw();
});

window.addEventListener('storage', draw);
draw();
