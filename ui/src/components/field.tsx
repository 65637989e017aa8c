import clsx from 'clsx';
import type { InputHTMLAttributes, ReactNode, Ref, SelectHTMLAttributes, TextareaHTMLAttributes } from 'react';
import { useId, useLayoutEffect, useRef } from 'react';

const BOX = 'w-full rounded-md border border-line-strong bg-raised px-2.5 text-ink placeholder:text-faint focus-visible:outline-offset-0 disabled:opacity-50 dark:bg-well';

export function Field({ label, help, error, optional = false, children }: { label: string; help?: ReactNode; error?: ReactNode; optional?: boolean; children: (ids: { id: string; 'aria-describedby'?: string; 'aria-invalid'?: boolean }) => ReactNode }) {
  const id = useId();
  const described = error !== undefined || help !== undefined;
  return (
    <div className="space-y-1">
      <label htmlFor={id} className="flex items-baseline gap-2 font-medium">
        {label}
        {optional && <span className="text-small font-normal text-faint">optional</span>}
      </label>
      {children({ id, ...(described ? { 'aria-describedby': `${id}-help` } : {}), ...(error !== undefined ? { 'aria-invalid': true } : {}) })}
      {described && (
        <p id={`${id}-help`} className={clsx('foreign text-small', error !== undefined ? 'text-bad' : 'text-faint')}>
          {error ?? help}
        </p>
      )}
    </div>
  );
}

export function TextInput({ className, mono = false, ref, ...rest }: InputHTMLAttributes<HTMLInputElement> & { mono?: boolean; ref?: Ref<HTMLInputElement> }) {
  return <input ref={ref} spellCheck={false} autoComplete="off" className={clsx(BOX, 'h-8', mono && 'font-mono text-small', className)} {...rest} />;
}

/** Makes a text field as high as its text; as high as its rows where it is not shown, and its text has no height. */
function fit(element: HTMLTextAreaElement): void {
  element.style.height = 'auto';
  if (element.scrollHeight > 0) element.style.height = `${Math.min(element.scrollHeight + 2, 420)}px`;
}

/** A text field that grows with its text up to a limit. */
export function TextArea({ className, rows = 2, value, ...rest }: TextareaHTMLAttributes<HTMLTextAreaElement>) {
  const area = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    if (area.current !== null) fit(area.current);
  }, [value]);
  useLayoutEffect(() => {
    const element = area.current;
    if (element === null) return undefined;
    // In a dialog that opens with it, it has no width yet.
    let width = element.offsetWidth;
    const observer = new ResizeObserver(() => {
      if (element.offsetWidth === width) return;
      width = element.offsetWidth;
      fit(element);
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return <textarea ref={area} rows={rows} value={value} className={clsx(BOX, 'block resize-none py-1.5 leading-5', className)} {...rest} />;
}

export function Select({ className, children, ...rest }: SelectHTMLAttributes<HTMLSelectElement>) {
  return (
    <select className={clsx(BOX, 'h-8 appearance-auto pr-1', className)} {...rest}>
      {children}
    </select>
  );
}

/** A row of choices of which one holds. */
export function Choices<T extends string>({ label, value, options, onChange }: { label: string; value: T; options: readonly { value: T; name: string }[]; onChange: (value: T) => void }) {
  const name = useId();
  return (
    <div role="radiogroup" aria-label={label} className="inline-flex rounded-md border border-line bg-well p-0.5">
      {options.map((option) => (
        <label key={option.value} className={clsx('relative flex h-6 items-center rounded-sm px-2.5 text-small has-focus-visible:outline-2 has-focus-visible:outline-lamp', value === option.value ? 'bg-raised font-medium text-ink shadow-[0_0_0_1px_var(--line)]' : 'text-soft hover:text-ink')}>
          <input type="radio" name={name} className="absolute inset-0 opacity-0" checked={value === option.value} onChange={() => onChange(option.value)} />
          {option.name}
        </label>
      ))}
    </div>
  );
}
