import clsx from 'clsx';
import { SkipBack, SkipForward } from 'lucide-react';
import { type ReactNode, useMemo } from 'react';
import { Button } from '@/components/button';
import { Tip } from '@/components/tip';
import { type Checkpoint, lastAt, type Row } from '@/story/story';
import { timeOfDay } from '@/text/format';
import { endOf } from './timeline';

interface Props {
  rows: readonly Row[];
  moment: number | null;
  /** Whether there is a present to go back to. */
  live: boolean;
  onMoment: (seq: number | null) => void;
  onStep: (by: 1 | -1) => void;
  checkpoints: readonly Checkpoint[];
  /** What can be done from the moment shown. */
  children?: ReactNode;
}

function toneOf(row: Row): string {
  if (row.type === 'said') return row.said.who === 'agent' ? 'bg-line-strong' : 'bg-lamp';
  if (row.type === 'note') return row.note.tone === 'bad' ? 'bg-bad' : 'bg-line-strong';
  if (row.step.outcome === 'failed' || (row.step.exitCode ?? 0) !== 0) return 'bg-bad';
  return row.step.image !== null ? 'bg-work' : row.step.kind === 'evidence' ? 'bg-good' : 'bg-faint/60';
}

/** Ticks on the bar at most; of longer runs every n-th is drawn. */
const MOST_TICKS = 400;

/** The run as a bar to go back on: screen, terminal and diff follow. */
export function Scrubber({ rows, moment, live, onMoment, onStep, checkpoints, children }: Props) {
  const last = Math.max(0, rows.length - 1);
  const place = moment === null ? last : Math.max(0, lastAt(rows, moment));
  const row = rows[place];
  const ticks = useMemo(() => {
    const every = Math.ceil(rows.length / MOST_TICKS);
    return rows.flatMap((each, index) => (index % every === 0 || toneOf(each) === 'bg-bad' ? [{ index, tone: toneOf(each), tall: each.type === 'step' && each.step.image !== null }] : []));
    // `rows` is changed in place; its length and the end of the last step tell when.
  }, [rows, rows.length, rows.at(-1)?.seq]);
  const words = row === undefined ? 'Nothing yet' : row.type === 'step' ? `${row.step.verb} ${row.step.object}` : row.type === 'note' ? row.note.text : row.said.text;
  const at = row === undefined ? null : row.type === 'step' ? row.step.at : row.type === 'note' ? row.note.at : row.said.at;
  return (
    <div className="flex h-11 shrink-0 items-center gap-2 border-t border-line bg-page px-3">
      <Tip text="One step back" shortcut="k" side="top">
        <Button look="quiet" size="small" aria-label="One step back" icon={<SkipBack aria-hidden className="size-3.5" />} onClick={() => onStep(-1)} disabled={place <= 0} />
      </Tip>
      <Tip text="One step on" shortcut="j" side="top">
        <Button look="quiet" size="small" aria-label="One step on" icon={<SkipForward aria-hidden className="size-3.5" />} onClick={() => onStep(1)} disabled={moment === null} />
      </Tip>
      <span className="figures w-10 text-center text-small text-faint">{at === null ? '' : timeOfDay(Date.parse(at))}</span>
      <div className="relative h-6 min-w-0 flex-1">
        <div aria-hidden className="absolute inset-x-[7px] top-0 bottom-0">
          <span className="absolute inset-x-0 top-1/2 h-px bg-line" />
          {ticks.map((tick) => (
            <span
              key={tick.index}
              className={clsx('absolute top-1/2 w-[2px] -translate-x-1/2 -translate-y-1/2 rounded-full', tick.tone, tick.tall ? 'h-3.5' : 'h-1.5', tick.index > place && 'opacity-35')}
              style={{ left: `${last === 0 ? 0 : (tick.index / last) * 100}%` }}
            />
          ))}
          {checkpoints.map((checkpoint) => (
            <span key={checkpoint.id} className="absolute bottom-0 size-[5px] -translate-x-1/2 rotate-45 bg-lamp" style={{ left: `${last === 0 ? 0 : (Math.max(0, lastAt(rows, checkpoint.seq)) / last) * 100}%` }} />
          ))}
        </div>
        <input
          type="range"
          aria-label="Moment of the run"
          aria-valuetext={words.slice(0, 200)}
          min={0}
          max={last}
          value={place}
          onChange={(event) => {
            const index = Number(event.target.value);
            const picked = rows[index];
            onMoment(index >= last && live ? null : picked === undefined ? null : endOf(picked));
          }}
          className="scrubber absolute inset-0 w-full"
        />
      </div>
      {children}
      {live ? (
        <button
          type="button"
          aria-pressed={moment === null}
          onClick={() => onMoment(null)}
          className={clsx('flex h-6 items-center gap-1.5 rounded-full px-2.5 text-tiny font-semibold', moment === null ? 'bg-work-soft text-work' : 'text-faint hover:bg-hover hover:text-ink')}
        >
          <span aria-hidden className={clsx('size-1.5 rounded-full', moment === null ? 'animate-breathe bg-work' : 'bg-faint')} />
          Live
        </button>
      ) : (
        <Button look="quiet" size="small" onClick={() => onMoment(null)} disabled={moment === null}>
          To the end
        </Button>
      )}
    </div>
  );
}
