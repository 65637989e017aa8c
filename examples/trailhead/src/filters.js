// Which notes are shown, and how many there are of each kind.

export const STATUSES = ['open', 'done', 'all'];

/** The notes of that status whose text or trail contains every word of the query, in any case. */
export function filterNotes(notes, { status = 'all', query = '' }) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return notes.filter((note) => {
    if (status === 'open' && note.done) return false;
    if (status === 'done' && !note.done) return false;
    const haystack = `${note.text} ${note.trail}`.toLowerCase();
    return words.every((word) => haystack.includes(word));
  });
}

export function countNotes(notes) {
  const done = notes.filter((note) => note.done).length;
  return { open: notes.length - done, done, all: notes.length };
}
