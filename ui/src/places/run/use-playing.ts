import { useEffect, useRef, useState } from 'react';
import { nextShot } from '@/story/replay';
import { lastAt, type Row, type Shot } from '@/story/story';
import { endOf } from './timeline';

/** How long a picture, or a row of another view, is shown while the recording plays. */
const PICTURE_MS = 900;
const ROW_MS = 350;

/**
 * Plays a run's recording from the moment shown on, or from its beginning: from picture to picture where the screen is
 * shown, from row to row elsewhere. It stops at the end, and when somebody picks a moment.
 */
export function usePlaying({ rows, shots, moment, pictures, show }: { rows: readonly Row[]; shots: readonly Shot[]; moment: number | null; pictures: boolean; show: (moment: number | null) => void }): { playing: boolean; toggle: () => void; stop: () => void } {
  const [playing, setPlaying] = useState(false);
  const now = useRef({ rows, shots, moment, show });
  now.current = { rows, shots, moment, show };
  useEffect(() => {
    if (!playing) return undefined;
    const timer = setInterval(
      () => {
        const { rows: all, shots: taken, moment: at, show: go } = now.current;
        if (at === null) return setPlaying(false);
        const row = all[lastAt(all, at) + 1];
        const next = pictures ? (nextShot(taken, at, 1)?.seq ?? null) : row === undefined ? null : endOf(row);
        go(next);
        if (next === null) setPlaying(false);
      },
      pictures ? PICTURE_MS : ROW_MS,
    );
    return () => clearInterval(timer);
  }, [playing, pictures]);
  const toggle = () => {
    if (playing) return setPlaying(false);
    const [first] = rows;
    const begin = (pictures ? shots[0]?.seq : undefined) ?? (first === undefined ? null : endOf(first));
    if (begin === null) return;
    if (moment === null) show(begin);
    setPlaying(true);
  };
  return { playing, toggle, stop: () => setPlaying(false) };
}
