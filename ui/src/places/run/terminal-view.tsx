import clsx from 'clsx';
import { useQuery } from '@tanstack/react-query';
import { SquareTerminal } from 'lucide-react';
import { useEffect, useMemo, useRef, useState } from 'react';
import { backend } from '@/backend/backend';
import { problemOf } from '@/backend/problem';
import { Button } from '@/components/button';
import { Empty } from '@/components/empty';
import { ProblemBox } from '@/components/problem-box';
import { plainOutput } from '@/text/ansi';
import { bytes, duration } from '@/text/format';
import type { Step } from '@/story/story';

/** Commands that are on the page at once; earlier ones come on request. */
const SHOWN = 60;

/** The commands of a run and what they printed, up to the moment shown. */
export function TerminalView({ steps, moment, output, version }: { steps: readonly Step[]; moment: number | null; output: ReadonlyMap<string, string>; version: number }) {
  const [shown, setShown] = useState(SHOWN);
  const commands = useMemo(() => steps.filter((step) => step.kind === 'command' && (moment === null || step.seq <= moment)), [steps, moment, version]);
  const end = useRef<HTMLDivElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  useEffect(() => {
    if (atEnd.current || moment !== null) end.current?.scrollIntoView({ block: 'end' });
  }, [commands.length, moment, output]);
  if (commands.length === 0) {
    return (
      <Empty icon={<SquareTerminal />} title="No command yet">
        What the agent runs in its shell is recorded here, with its output.
      </Empty>
    );
  }
  const visible = commands.slice(-shown);
  return (
    <div
      ref={scroller}
      tabIndex={0}
      role="region"
      aria-label="Terminal"
      onScroll={(event) => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        atEnd.current = scrollHeight - scrollTop - clientHeight < 80;
      }}
      className="h-full overflow-y-auto bg-well px-4 py-3 font-mono text-[12px] leading-[1.15rem] focus-visible:outline-offset-[-2px]"
    >
      {commands.length > visible.length && (
        <div className="pb-3 text-center">
          <Button size="small" look="quiet" onClick={() => setShown(shown + 200)}>
            {commands.length - visible.length} earlier commands
          </Button>
        </div>
      )}
      {visible.map((step) => (
        <Command key={step.seq} step={step} moment={moment} passing={output.get(step.id) ?? ''} />
      ))}
      <div ref={end} />
    </div>
  );
}

function commandOf(step: Step): string {
  const input = step.input;
  if (typeof input === 'object' && input !== null && 'command' in input && typeof input.command === 'string') return input.command;
  return `${step.verb} ${step.object}`;
}

function Command({ step, moment, passing }: { step: Step; moment: number | null; passing: string }) {
  const [whole, setWhole] = useState(false);
  const known = step.endSeq !== null && (moment === null || step.endSeq <= moment);
  const text = plainOutput(known ? withoutTrailer(step.text) : passing);
  return (
    <section className="mb-3.5">
      <div className="flex items-start gap-2">
        <span aria-hidden className="text-lamp-text select-none">
          $
        </span>
        <pre className="foreign min-w-0 flex-1 font-medium whitespace-pre-wrap text-ink">{commandOf(step)}</pre>
        <span className="figures shrink-0 font-sans text-tiny text-faint">
          {step.tookMs !== null && known && duration(step.tookMs)}
          {known && step.exitCode !== null && <span className={clsx('ml-2 rounded-full px-1.5', step.exitCode === 0 ? 'text-good' : 'bg-bad-soft text-bad')}>exit {step.exitCode}</span>}
          {!known && <span className="animate-breathe text-work">running</span>}
        </span>
      </div>
      {whole && step.output !== null ? <WholeOutput id={step.output} /> : text !== '' && <pre className="foreign pl-4 whitespace-pre-wrap text-soft">{text}</pre>}
      {known && step.output !== null && !whole && (
        <button type="button" onClick={() => setWhole(true)} className="ml-4 rounded-sm font-sans text-small text-work hover:underline">
          Show the whole output
        </button>
      )}
    </section>
  );
}

/** The last lines of a result are for the model: step number and exit status, which are shown beside the command. */
function withoutTrailer(text: string): string {
  return text.replace(/\n*\[?(?:step \d+\.\d+[^\n]*|exit status[^\n]*)\]?\s*$/i, '').trimEnd();
}

/** Output beyond this is cut in the page; the file itself is whole. */
const LONGEST = 400_000;

function WholeOutput({ id }: { id: string }) {
  const { data, error } = useQuery({ queryKey: ['artifact-text', id], queryFn: async ({ signal }) => new TextDecoder().decode(await backend.artifact(id, signal)), staleTime: Number.POSITIVE_INFINITY });
  if (error !== null) return <ProblemBox problem={problemOf(error)} />;
  if (data === undefined) return <p className="pl-4 text-faint">…</p>;
  const cut = data.length > LONGEST;
  return (
    <pre className="foreign pl-4 whitespace-pre-wrap text-soft">
      {plainOutput(cut ? data.slice(-LONGEST) : data)}
      {cut && `\n(the first ${bytes(data.length - LONGEST)} are left out here)`}
    </pre>
  );
}
