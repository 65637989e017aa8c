import clsx from 'clsx';

const NAMES: Record<string, string> = { ctrl: 'Ctrl', enter: '↵', escape: 'Esc', arrowleft: '←', arrowright: '→', arrowup: '↑', arrowdown: '↓', shift: '⇧', space: 'Space' };

/** A shortcut as it is written on keys; parts of a sequence have a space between them. */
export function Key({ name, faded = false }: { name: string; faded?: boolean }) {
  return (
    <span aria-hidden className="ml-0.5 inline-flex gap-0.5">
      {name.split(/[ +]/).map((part) => (
        <kbd
          key={part}
          className={clsx(
            'inline-flex h-4 min-w-4 items-center justify-center rounded-sm border px-1 font-sans text-[10px] leading-none',
            faded ? 'border-current/25 opacity-75' : 'border-line-strong text-faint',
          )}
        >
          {NAMES[part] ?? part.toUpperCase()}
        </kbd>
      ))}
    </span>
  );
}
