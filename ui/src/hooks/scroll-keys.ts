import type { Virtualizer } from '@tanstack/react-virtual';
import type { KeyboardEvent } from 'react';

/** The share of what is in view that a page goes on by, so that the last line is the next one's first. */
const PAGE = 0.9;

/**
 * Home, End and pages in a list whose rows are measured as they come into view. A browser scrolls there little by little,
 * and would be stopped half-way by the first row that is not as high as was thought.
 */
export function scrollKeys(list: Virtualizer<HTMLDivElement, Element>): (event: KeyboardEvent<HTMLElement>) => void {
  return (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const element = list.scrollElement;
    const act: Record<string, () => void> = {
      Home: () => list.scrollToOffset(0),
      End: () => list.scrollToEnd(),
      PageUp: () => element?.scrollBy({ top: -element.clientHeight * PAGE, behavior: 'instant' }),
      PageDown: () => element?.scrollBy({ top: element.clientHeight * PAGE, behavior: 'instant' }),
    };
    const found = act[event.key];
    if (found === undefined) return;
    event.preventDefault();
    found();
  };
}
