import { type RefObject, useEffect, useRef, useState } from 'react';

/** A list follows what comes as long as its end is at most this near, in pixels. */
export const NEAR_END = 60;

/** Whether a list that grows at its end follows what comes: until somebody scrolls back, and again when they are at the end or no longer look back. */
export function useFollowsEnd(scroller: RefObject<HTMLElement | null>, looksBack: boolean) {
  const lastTop = useRef(0);
  const [follows, setFollows] = useState(true);
  useEffect(() => {
    if (!looksBack) setFollows(true);
  }, [looksBack]);
  const scrolled = () => {
    const element = scroller.current;
    if (element === null) return;
    // What grows moves the end away from who reads there; only who scrolls back leaves it.
    if (element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END) setFollows(true);
    else if (element.scrollTop < lastTop.current) setFollows(false);
    lastTop.current = element.scrollTop;
  };
  return { follows, setFollows, scrolled };
}
