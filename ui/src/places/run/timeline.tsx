import { useVirtualizer } from '@tanstack/react-virtual';
import clsx from 'clsx';
import { useEffect, useRef } from 'react';
import { useFollowsEnd } from '@/hooks/use-follows-end';
import { useHeldRow } from '@/hooks/use-held-row';
import { duration, timeOfDay } from '@/text/format';
import { firstLine } from '@/story/step';
import { lastAt, type Row, type Step } from '@/story/story';
import { StepIcon } from './step-icon';

interface Props {
  rows: readonly Row[];
  /** Whether an event led to the moment shown: the others are undone. */
  counts: (seq: number) => boolean;
  version: number;
  moment: number | null;
  onMoment: (seq: number | null) => void;
}

/** Rows are only ever added at the end: each is known by its place. */
const placeOf = (index: number) => index;

/** Everything that happened, one line each; the newest at the bottom, followed while nobody looks back. */
export function Timeline({ rows, counts, version, moment, onMoment }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const { follows, scrolled } = useFollowsEnd(scroller, moment !== null);
  const { rangeExtractor, holder } = useHeldRow(rows.length, placeOf);
  const list = useVirtualizer({
    count: rows.length,
    rangeExtractor,
    getScrollElement: () => scroller.current,
    estimateSize: () => 28,
    overscan: 16,
    paddingEnd: 8,
  });
  const selected = moment === null ? rows.length - 1 : lastAt(rows, moment);
  useEffect(() => {
    if (selected >= 0 && moment !== null) list.scrollToIndex(selected, { align: 'auto' });
  }, [selected, moment, list]);
  useEffect(() => {
    if (rows.length > 0 && moment === null && follows) list.scrollToIndex(rows.length - 1, { align: 'end' });
  }, [rows, moment, follows, list, version]);
  return (
    <div ref={scroller} role="list" aria-label="Timeline" onScroll={scrolled} className="min-h-0 flex-1 overflow-y-auto">
      <div {...holder} className="relative" style={{ height: list.getTotalSize() }}>
        {list.getVirtualItems().map((item) => {
          const row = rows[item.index];
          if (row === undefined) return null;
          return (
            <div key={item.key} role="listitem" data-index={item.index} aria-posinset={item.index + 1} aria-setsize={rows.length} className="absolute inset-x-0 top-0 px-2" style={{ height: item.size, transform: `translateY(${item.start}px)` }}>
              <RowButton row={row} chosen={moment !== null && item.index === selected} after={moment !== null && item.index > selected} undone={!counts(endOf(row))} onPick={() => onMoment(endOf(row))} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** A step is looked at as it was when it was over. */
export function endOf(row: Row): number {
  return row.type === 'step' ? (row.step.endSeq ?? row.step.seq) : row.seq;
}

function RowButton({ row, chosen, after, undone, onPick }: { row: Row; chosen: boolean; after: boolean; undone: boolean; onPick: () => void }) {
  return (
    <button
      type="button"
      aria-current={chosen ? 'step' : undefined}
      onClick={onPick}
      title={undone && !after ? 'Undone: the run went back behind it' : undefined}
      className={clsx('flex h-7 w-full items-center gap-2 rounded-md px-2 text-left focus-visible:outline-offset-[-2px]', chosen ? 'bg-pressed' : 'hover:bg-hover', (after || undone) && 'opacity-45', undone && !after && 'line-through')}
    >
      {row.type === 'step' && <StepLine step={row.step} />}
      {row.type === 'note' && (
        <>
          <span className="flex w-3.5 justify-center">
            <span className={clsx('size-1 rounded-full', { plain: 'bg-line-strong', good: 'bg-good', bad: 'bg-bad', lamp: 'bg-lamp' }[row.note.tone])} />
          </span>
          <span className={clsx('foreign min-w-0 flex-1 truncate text-small', row.note.tone === 'bad' ? 'text-bad' : 'text-faint')} title={row.note.text}>
            {row.note.text}
          </span>
          <span className="figures text-tiny text-faint">{timeOfDay(Date.parse(row.note.at))}</span>
        </>
      )}
      {row.type === 'said' && (
        <>
          <span className="flex w-3.5 justify-center">
            <span className={clsx('h-3 w-[3px] rounded-full', row.said.who === 'person' ? 'bg-lamp' : row.said.who === 'question' ? 'bg-lamp' : 'bg-line-strong')} />
          </span>
          <span className={clsx('foreign min-w-0 flex-1 truncate', row.said.who === 'agent' || row.said.who === 'critic' || row.said.who === 'subagent' ? 'text-soft' : 'text-ink')}>{row.said.by === undefined ? '' : `${row.said.by}: `}{firstLine(row.said.text, 160)}</span>
        </>
      )}
    </button>
  );
}

function StepLine({ step }: { step: Step }) {
  const failed = step.outcome === 'failed' || (step.exitCode !== null && step.exitCode !== 0);
  return (
    <>
      <span className={clsx(failed ? 'text-bad' : step.outcome === null ? 'animate-breathe text-work' : 'text-faint')}>
        <StepIcon kind={step.kind} />
      </span>
      {step.by !== null && <span className="foreign max-w-24 shrink-0 truncate text-tiny text-work">{step.by}</span>}
      <span className="foreign min-w-0 flex-1 truncate">
        <span className={step.object === '' ? '' : 'text-soft'}>{step.verb}</span>
        {step.object !== '' && <span className={clsx('ml-1.5', (step.kind === 'command' || step.kind === 'edit') && 'font-mono text-[11.5px]')}>{step.kind === 'edit' ? shortPath(step.object) : step.object}</span>}
      </span>
      {failed && <span className="shrink-0 text-tiny text-bad">{step.exitCode !== null ? `exit ${step.exitCode}` : 'failed'}</span>}
      {!failed && step.tookMs !== null && step.tookMs >= 1_000 && <span className="figures shrink-0 text-tiny text-faint">{duration(step.tookMs)}</span>}
    </>
  );
}

/** The last two parts of a path: what tells files apart in a narrow list. */
function shortPath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '');
  return parts.length > 2 ? `…/${parts.slice(-2).join('/')}` : path;
}
