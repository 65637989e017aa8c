// The notes, kept in a storage that is passed in (localStorage in the browser).
// Each operation reads the storage anew, so that two tabs do not overwrite each other.

export const NOTES_KEY = 'trailhead.notes';
export const LONGEST_TEXT = 200;
export const LONGEST_TRAIL = 40;

/** A note that cannot be kept as it is; the message is fit to be shown. */
export class InvalidNote extends Error {}

/** `storage` has getItem and setItem; `now` returns a Date; `samples` fill a storage never used before. */
export function createStore(storage, { now, samples = [] }) {
  const all = () => {
    const saved = storage.getItem(NOTES_KEY);
    return saved === null ? samples : parse(saved);
  };
  const save = (notes) => storage.setItem(NOTES_KEY, JSON.stringify(notes));

  return {
    all,

    add({ text, trail = '' }) {
      const notes = all();
      const note = {
        id: 1 + Math.max(0, ...notes.map(({ id }) => id)),
        text: checked(text, 'text', LONGEST_TEXT),
        trail: checked(trail, 'trail', LONGEST_TRAIL),
        done: false,
        addedOn: now().toISOString().slice(0, 10),
      };
      if (note.text === '') throw new InvalidNote('A note needs a text.');
      save([note, ...notes]);
      return note;
    },

    toggle(id) {
      save(all().map((note) => (note.id === id ? { ...note, done: !note.done } : note)));
    },

    remove(id) {
      save(all().filter((note) => note.id !== id));
    },
  };
}

function checked(value, name, longest) {
  const trimmed = value.trim();
  if (trimmed.length > longest) throw new InvalidNote(`The ${name} has more than ${longest} characters.`);
  return trimmed;
}

function parse(saved) {
  try {
    const notes = JSON.parse(saved);
    return Array.isArray(notes) ? notes.filter(isNote) : [];
  } catch {
    return [];
  }
}

function isNote(value) {
  return (
    Number.isInteger(value?.id) &&
    typeof value.text === 'string' &&
    typeof value.trail === 'string' &&
    typeof value.done === 'boolean' &&
    /^\d{4}-\d{2}-\d{2}$/.test(value.addedOn)
  );
}
