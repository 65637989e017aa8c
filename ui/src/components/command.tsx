import { Check, Copy } from 'lucide-react';
import { useEffect, useState } from 'react';
import { Tip } from './tip';

/** How long it is said that a command was copied. */
const SAID_MS = 2_000;

/** A command for a terminal, and a way to take it along. */
export function Command({ text }: { text: string }) {
  const [copied, setCopied] = useState<'no' | 'yes' | 'refused'>('no');
  useEffect(() => {
    if (copied === 'no') return;
    const timer = setTimeout(() => setCopied('no'), SAID_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied('yes');
    } catch {
      // A browser that was not asked over loopback or TLS has no clipboard; one click into the text selects all of it.
      setCopied('refused');
    }
  };
  const words = copied === 'yes' ? 'Copied' : copied === 'refused' ? 'The browser did not allow it: click the command and copy it' : 'Copy the command';
  return (
    <div className="flex items-stretch rounded-md bg-well">
      <pre tabIndex={0} aria-label="Command" className="foreign min-w-0 flex-1 overflow-x-auto px-2.5 py-1.5 text-small select-all">
        {text}
      </pre>
      <Tip text={words} side="left">
        <button type="button" aria-label="Copy the command" onClick={() => void copy()} className="grid w-8 shrink-0 place-items-center rounded-r-md text-faint hover:bg-hover hover:text-ink">
          {copied === 'yes' ? <Check aria-hidden className="size-3.5 text-good" /> : <Copy aria-hidden className="size-3.5" />}
        </button>
      </Tip>
      <span role="status" className="sr-only">
        {copied === 'no' ? '' : words}
      </span>
    </div>
  );
}
