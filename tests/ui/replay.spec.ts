import { expect, test } from '@playwright/test';
import type { RunEvent } from '../../ui/src/backend/types';
import { axisOf, framingAt, nextShot, rowAt, spacing, timeOf } from '../../ui/src/story/replay';
import { emptyStory, type Row, type Shot, tell } from '../../ui/src/story/story';

const at = (second: number) => new Date(Date.UTC(2026, 10, 1, 0, 0, second)).toISOString();
const note = (seq: number, second: number): Row => ({ type: 'note', seq, note: { seq, at: at(second), text: `note ${seq}`, tone: 'plain' } });
const shot = (seq: number, second: number): Shot => ({ seq, at: at(second), image: { artifact: String(seq).repeat(64), mediaType: 'image/png', width: 1280, height: 800 }, step: null });

test('rows are laid out by the time between them, and the order of what happened holds whatever the clock says', () => {
  const { places } = axisOf([note(1, 0), note(2, 10), note(3, 20), note(4, 18), note(5, 40)]);
  expect(places[0]).toBe(0);
  expect(places.at(-1)).toBe(1);
  for (const [index, place] of places.entries()) if (index > 0) expect(place).toBeGreaterThan(places[index - 1] ?? 1);
  expect((places[1] ?? 0) - (places[0] ?? 0)).toBeCloseTo((places[2] ?? 0) - (places[1] ?? 0));
});

test('a long pause is drawn short and said to be one', () => {
  const { places, cuts } = axisOf([note(1, 0), note(2, 10), note(3, 20), note(4, 3_620), note(5, 3_630)]);
  expect(cuts.map((cut) => cut.ms)).toEqual([3_600_000]);
  expect(cuts[0]?.place).toBeCloseTo(((places[2] ?? 0) + (places[3] ?? 0)) / 2);
  expect((places[3] ?? 0) - (places[2] ?? 0)).toBeLessThan(0.6);
});

test('times below the line are never so near to one another that they overlap', () => {
  for (const count of [1, 2, 3, 50, 2_000]) {
    const { marks, places } = axisOf(Array.from({ length: count }, (_, index) => note(index + 1, index * ((index % 7) + 1))));
    expect(places).toHaveLength(count);
    expect(marks[0]?.place).toBe(0);
    for (const [index, mark] of marks.entries()) if (index > 0) expect(mark.place - (marks[index - 1]?.place ?? 0)).toBeGreaterThanOrEqual(0.19);
    expect(new Set(marks.map((mark) => Math.floor(mark.at / 60_000))).size, 'no minute is written twice').toBe(marks.length);
  }
});

test('nothing, one row, and rows of one moment have a line too', () => {
  expect(axisOf([])).toEqual({ places: [], marks: [], cuts: [] });
  expect(axisOf([note(1, 5)]).places).toEqual([0]);
  const same = axisOf([note(1, 5), note(2, 5), note(3, 5)]).places;
  expect(same).toEqual([0, 0.5, 1]);
});

test('the row nearest to a place is found, and every row by its own place', () => {
  const axis = axisOf(Array.from({ length: 40 }, (_, index) => note(index + 1, index * index)));
  for (const [index, place] of axis.places.entries()) expect(rowAt(axis, place)).toBe(index);
  expect([rowAt(axis, -1), rowAt(axis, 2)]).toEqual([0, 39]);
});

test('a moment is shown by the newest picture before it, which says how old it is and when the next comes', () => {
  const shots = [shot(2, 10), shot(5, 24), shot(9, 60)];
  expect(framingAt(shots, 1, Date.parse(at(5)))).toBe(null);
  expect(framingAt(shots, 7, Date.parse(at(30)))).toMatchObject({ number: 2, of: 3, agoMs: 6_000, nextMs: 36_000 });
  expect(framingAt(shots, null, Date.parse(at(70)))).toMatchObject({ number: 3, of: 3, agoMs: 10_000, nextMs: null });
});

test('how far apart pictures are is what is usual and what is most, and one picture is not apart from any', () => {
  expect(spacing([shot(1, 0), shot(2, 4), shot(3, 10), shot(4, 100)])).toEqual({ usual: 6_000, longest: 90_000 });
  expect(spacing([shot(1, 0)])).toBe(null);
});

test('pictures are gone through one by one, and back from the present leads to the newest', () => {
  const shots = [shot(2, 10), shot(5, 24), shot(9, 60)];
  const seqs = (moment: number | null) => [nextShot(shots, moment, -1)?.seq ?? null, nextShot(shots, moment, 1)?.seq ?? null];
  expect([seqs(null), seqs(9), seqs(7), seqs(5), seqs(2), seqs(1)]).toEqual([[9, null], [5, null], [5, 9], [2, 9], [null, 5], [null, 2]]);
});

test('a take-over and its end are pictures of the recording', () => {
  const story = emptyStory();
  const image = { artifact: 'b'.repeat(64), mediaType: 'image/png', width: 1280, height: 800 };
  const event = (seq: number, body: Record<string, unknown>) => ({ position: seq, run: 'run-0000000000', seq, at: at(seq), ...body }) as unknown as RunEvent;
  tell(story, event(1, { type: 'takenOver', screen: image }));
  tell(story, event(2, { type: 'handedBack', summary: 'clicked', seconds: 4, screen: null }));
  tell(story, event(3, { type: 'handedBack', summary: 'clicked', seconds: 4, screen: image }));
  expect(story.shots.map((each) => [each.seq, each.step])).toEqual([[1, null], [3, null]]);
});

test('a step is at the time at which it was over', () => {
  const story = emptyStory();
  const event = (seq: number, body: Record<string, unknown>) => ({ position: seq, run: 'run-0000000000', seq, at: at(seq), ...body }) as unknown as RunEvent;
  tell(story, event(1, { type: 'stepIntended', step: '1.1', call: { id: 'c', name: 'shell', input: { command: 'sleep 7' } } }));
  tell(story, event(2, { type: 'stepFinished', step: '1.1', call: 'c', outcome: 'done', content: [], tookMs: 7_000 }));
  expect(story.rows.map(timeOf)).toEqual([Date.parse(at(8))]);
});
