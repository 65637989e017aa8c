import { CircleAlert, CircleCheck, X } from 'lucide-react';
import { useSyncExternalStore } from 'react';
import { type Problem, sentence } from '@/backend/problem';
import { Button } from './button';

interface Toast {
  id: number;
  text: string;
  hint: string;
  bad: boolean;
}

let toasts: readonly Toast[] = [];
let nextId = 1;
const listeners = new Set<() => void>();

function change(to: readonly Toast[]): void {
  toasts = to;
  for (const listener of listeners) listener();
}

function add(toast: Omit<Toast, 'id'>, forMs: number): void {
  const id = nextId++;
  change([...toasts.slice(-3), { ...toast, id }]);
  setTimeout(() => dismiss(id), forMs);
}

function dismiss(id: number): void {
  change(toasts.filter((toast) => toast.id !== id));
}

/** Says that something went well. */
export function tellDone(text: string): void {
  add({ text, hint: '', bad: false }, 4_000);
}

/** Says what a person should know of what was done, long enough to be read. */
export function tellNote(text: string): void {
  add({ text: sentence(text), hint: '', bad: false }, 12_000);
}

/** Says that something failed, where there is no better place to say it. */
export function tellProblem(problem: Problem): void {
  add({ text: sentence(problem.message), hint: sentence(problem.hint), bad: true }, 12_000);
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div aria-live="polite" className="pointer-events-none fixed top-14 right-4 z-50 flex w-96 flex-col gap-2">
      {shown.map((toast) => (
        <div key={toast.id} className="pointer-events-auto flex items-start gap-2.5 rounded-lg border border-line-strong bg-raised py-2.5 pr-2 pl-3 shadow-float">
          {toast.bad ? <CircleAlert aria-hidden className="mt-0.5 size-4 shrink-0 text-bad" /> : <CircleCheck aria-hidden className="mt-0.5 size-4 shrink-0 text-good" />}
          <div className="foreign min-w-0 flex-1">
            <p>{toast.text}</p>
            {toast.hint !== '' && <p className="text-soft">{toast.hint}</p>}
          </div>
          <Button look="quiet" size="small" icon={<X className="size-3.5" />} aria-label="Dismiss" onClick={() => dismiss(toast.id)} />
        </div>
      ))}
    </div>
  );
}
