import clsx from 'clsx';
import type { ButtonHTMLAttributes, ReactNode, Ref } from 'react';
import { Key } from './key';

type Look = 'main' | 'plain' | 'quiet' | 'danger';

const LOOKS: Record<Look, string> = {
  main: 'bg-lamp text-lamp-ink font-medium hover:brightness-105 active:brightness-95',
  plain: 'bg-raised text-ink border border-line-strong hover:bg-hover active:bg-pressed',
  quiet: 'text-soft hover:bg-hover hover:text-ink active:bg-pressed',
  danger: 'bg-raised text-bad border border-line-strong hover:bg-bad-soft active:bg-bad-soft',
};

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: Look;
  size?: 'small' | 'normal' | 'large';
  icon?: ReactNode;
  /** The shortcut that does the same, shown inside. */
  shortcut?: string;
  busy?: boolean;
  ref?: Ref<HTMLButtonElement>;
}

export function Button({ look = 'plain', size = 'normal', icon, shortcut, busy = false, className, children, disabled, ...rest }: ButtonProps) {
  const alone = children === undefined || children === null;
  return (
    <button
      type="button"
      aria-busy={busy}
      disabled={disabled === true || busy}
      className={clsx(
        'inline-flex shrink-0 items-center justify-center gap-1.5 rounded-md whitespace-nowrap select-none transition-colors duration-75 disabled:opacity-45',
        LOOKS[look],
        size === 'small' && (alone ? 'size-6' : 'h-6 px-2 text-small'),
        size === 'normal' && (alone ? 'size-7' : 'h-7 px-2.5'),
        size === 'large' && 'h-9 px-4',
        className,
      )}
      {...rest}
    >
      {busy ? <Spinner /> : icon}
      {children}
      {shortcut !== undefined && <Key name={shortcut} faded={look === 'main'} />}
    </button>
  );
}

export function Spinner() {
  return <span aria-hidden className="size-3.5 animate-spin rounded-full border-[1.5px] border-current border-r-transparent" />;
}
