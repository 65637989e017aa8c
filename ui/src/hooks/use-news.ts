import { type RefObject, useEffect, useState } from 'react';

/** Frames at the end of the list after which its rows are on the page and measured. */
const SETTLED = 3;

/**
 * Whether what is added to a list is news, to be read out as it comes. It is not while somebody reads elsewhere, nor while
 * the list is on its way back to its end: the rows that come onto the page on that way are old.
 */
export function useNews(follows: boolean, scroller: RefObject<HTMLElement | null>, near: number): boolean {
  const [settled, setSettled] = useState(false);
  useEffect(() => {
    if (!follows) return;
    let frame = 0;
    let there = 0;
    const look = () => {
      const element = scroller.current;
      there = element !== null && element.scrollHeight - element.scrollTop - element.clientHeight < near ? there + 1 : 0;
      if (there >= SETTLED) setSettled(true);
      else frame = requestAnimationFrame(look);
    };
    frame = requestAnimationFrame(look);
    return () => {
      cancelAnimationFrame(frame);
      setSettled(false);
    };
  }, [follows, scroller, near]);
  return follows && settled;
}
