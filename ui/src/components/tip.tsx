import { Tooltip } from 'radix-ui';
import type { ReactNode } from 'react';
import { Key } from './key';

/** A word about what is under the pointer or has the focus. */
export function Tip({ text, shortcut, side = 'bottom', children }: { text: ReactNode; shortcut?: string; side?: 'top' | 'right' | 'bottom' | 'left'; children: ReactNode }) {
  return (
    <Tooltip.Root>
      <Tooltip.Trigger asChild>{children}</Tooltip.Trigger>
      <Tooltip.Portal>
        <Tooltip.Content
          side={side}
          sideOffset={6}
          collisionPadding={8}
          className="foreign z-50 flex max-w-80 items-center gap-1.5 rounded-md border border-line-strong bg-raised px-2 py-1 text-small text-ink shadow-float"
        >
          {text}
          {shortcut !== undefined && <Key name={shortcut} />}
        </Tooltip.Content>
      </Tooltip.Portal>
    </Tooltip.Root>
  );
}
