import clsx from 'clsx';
import { X } from 'lucide-react';
import { type ReactNode, useEffect, useId, useRef } from 'react';
import { Button } from './button';

/** A modal dialog on the browser's own element: it keeps the focus inside, closes on Escape and gives the focus back. */
export function Dialog({
  open,
  onClose,
  title,
  hideTitle = false,
  className,
  children,
}: {
  open: boolean;
  onClose: () => void;
  title: string;
  hideTitle?: boolean;
  className?: string;
  children: ReactNode;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const element = dialog.current;
    if (element === null) return;
    if (open && !element.open) {
      element.showModal();
      // Where typing or Enter is expected, not what happens to come first.
      element.querySelector<HTMLElement>('[data-begin], input, textarea')?.focus();
    }
    if (!open && element.open) element.close();
  }, [open]);
  return (
    // The keyboard's way to close it is Escape, which the element does itself.
    <dialog
      ref={dialog}
      aria-labelledby={heading}
      onClose={onClose}
      onMouseDown={(event) => {
        if (event.target === dialog.current) onClose();
      }}
      className={clsx('m-auto max-h-[85dvh] rounded-lg border border-line-strong bg-raised p-0 text-ink shadow-float', className)}
    >
      {open && (
        <div className="flex max-h-[85dvh] flex-col">
          {hideTitle ? (
            <h2 id={heading} className="sr-only">
              {title}
            </h2>
          ) : (
            <div className="flex items-start gap-3 pt-3.5 pr-3 pb-1 pl-5">
              <h2 id={heading} className="foreign min-w-0 flex-1 pt-0.5 text-large font-semibold">
                {title}
              </h2>
              <Button look="quiet" aria-label="Close the dialog" icon={<X aria-hidden className="size-4" />} onClick={onClose} />
            </div>
          )}
          {children}
        </div>
      )}
    </dialog>
  );
}
