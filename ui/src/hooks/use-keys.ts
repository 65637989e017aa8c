import { useEffect, useRef } from 'react';

export type Keys = Record<string, (event: KeyboardEvent) => void>;

const SEQUENCE_WITHIN_MS = 1_200;
let pending = { key: '', at: 0 };

/** Whether what has the focus takes letters itself. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || (target instanceof HTMLInputElement && !['checkbox', 'radio', 'range', 'button'].includes(target.type));
}

/** The name of a key press: `j`, `?`, `ctrl+k`, `shift+arrowleft`. */
export function keyName(event: KeyboardEvent): string {
  const parts: string[] = [];
  if (event.ctrlKey || event.metaKey) parts.push('ctrl');
  if (event.altKey) parts.push('alt');
  const key = event.key.toLowerCase();
  if (event.shiftKey && key.length > 1) parts.push('shift');
  parts.push(key === ' ' ? 'space' : key);
  return parts.join('+');
}

/**
 * Listens to keys of the whole page: single ones (`j`), with a modifier (`ctrl+k`), or two after one another (`g h`).
 * Letters do nothing while somebody types or a dialog is open.
 */
export function useKeys(keys: Keys, { inDialogs = false }: { inDialogs?: boolean } = {}): void {
  const current = useRef(keys);
  current.current = keys;
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.isComposing) return;
      const name = keyName(event);
      const modified = event.ctrlKey || event.metaKey;
      if (isTyping(event.target) && !modified) return;
      if (!inDialogs && !modified && document.querySelector('dialog[open], [role="menu"]') !== null) return;
      const sequence = event.timeStamp - pending.at < SEQUENCE_WITHIN_MS ? `${pending.key} ${name}` : '';
      const found = current.current[sequence] ?? current.current[name];
      if (found !== undefined) {
        event.preventDefault();
        pending = { key: '', at: 0 };
        found(event);
      }
    };
    addEventListener('keydown', listen);
    return () => removeEventListener('keydown', listen);
  }, [inDialogs]);
}

// Added before any other listener, so the first key of a sequence is known when the second arrives.
addEventListener('keydown', (event) => {
  if (!isTyping(event.target) && keyName(event) === 'g') pending = { key: 'g', at: event.timeStamp };
});
