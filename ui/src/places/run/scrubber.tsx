import clsx from 'clsx';
import { Pause, Play, SkipBack, SkipForward } from 'lucide-react';
import { type KeyboardEvent, type PointerEvent, type ReactNode, useMemo, useState } from 'react';
import { Button } from '@/components/button';
import { ArtifactImage } from '@/components/artifact-image';
import { Tip } from '@/components/tip';
import { useNarrow } from '@/hooks/use-narrow';
import { axisOf, rowAt, timeOf } from '@/story/replay';
import { firstLine } from '@/story/step';
import { asOf, type Checkpoint, lastAt, type Row, type Shot } from '@/story/story';
import { duration, preciseTime, timeOfDay } from '@/text/format';
import { endOf } from './timeline';

interface Props {
  rows: readonly Row[];
  shots: readonly Shot[];
  moment: number | null;
  /** Whether there is a present to go back to. */
  live: boolean;
  playing: boolean;
  onPlay: () => void;
  onMoment: (seq: number | null) => void;
  onStep: (by: 1 | -1) => void;
  checkpoints: readonly Checkpoint[];
  /** What can be done from the moment shown. */
  children?: ReactNode;
}

function toneOf(row: Row): string {
  if (row.type === 'said') return row.said.who === 'agent' || row.said.who === 'critic' || row.said.who === 'subagent' ? 'bg-line-strong' : 'bg-lamp';
  if (row.type === 'note') return row.note.tone === 'bad' ? 'bg-bad' : 'bg-line-strong';
  if (row.step.outcome === 'failed' || (row.step.exitCode ?? 0) !== 0) return 'bg-bad';
  return row.step.image !== null ? 'bg-work' : row.step.kind === 'evidence' ? 'bg-good' : 'bg-faint/60';
}

function wordsOf(row: Row | undefined): string {
  if (row === undefined) return 'Nothing yet';
  return row.type === 'step' ? `${row.step.verb} ${row.step.object}` : row.type === 'note' ? row.note.text : firstLine(row.said.text);
}

/** Ticks on the bar at most; of longer runs every n-th is drawn. */
const MOST_TICKS = 400;

/** Rows that a page key moves by. */
const PAGE = 10;

const percent = (place: number | undefined) => `${(place ?? 0) * 100}%`;

/** The run as a line of time to go back on: screen, terminal, diff, files and plan follow. */
export function Scrubber({ rows, shots, moment, live, playing, onPlay, onMoment, onStep, checkpoints, children }: Props) {
  const last = Math.max(0, rows.length - 1);
  const index = moment === null ? last : Math.max(0, lastAt(rows, moment));
  const row = rows[index];
  const [over, setOver] = useState<number | null>(null);
  const narrow = useNarrow();
  // `rows` is changed in place; its length and the end of the last step tell when.
  const axis = useMemo(() => axisOf(rows), [rows, rows.length, rows.at(-1)]);
  const ticks = useMemo(() => {
    const every = Math.ceil(rows.length / MOST_TICKS);
    return rows.flatMap((each, at) => (at % every === 0 || toneOf(each) === 'bg-bad' ? [{ index: at, tone: toneOf(each), tall: each.type === 'step' && each.step.image !== null }] : []));
  }, [rows, rows.length, rows.at(-1)?.seq]);
  const pick = (to: number) => {
    const picked = rows[Math.min(last, Math.max(0, to))];
    onMoment((to >= last && live) || picked === undefined ? null : endOf(picked));
  };
  const keys = (event: KeyboardEvent) => {
    const to: Record<string, number> = { ArrowLeft: index - 1, ArrowDown: index - 1, ArrowRight: index + 1, ArrowUp: index + 1, PageDown: index - PAGE, PageUp: index + PAGE, Home: 0, End: last };
    const next = to[event.key];
    if (next === undefined) return;
    event.preventDefault();
    pick(next);
  };
  const hover = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    setOver(box.width === 0 || rows.length === 0 ? null : rowAt(axis, Math.min(1, Math.max(0, (event.clientX - box.left - 7) / (box.width - 14)))));
  };
  const place = axis.places[index] ?? 0;
  return (
    <div className="flex h-14 shrink-0 items-center gap-2 border-t border-line bg-page px-3">
      <div className="flex items-center gap-0.5">
        <Tip text="One step back" shortcut="k" side="top">
          <Button look="quiet" size="small" aria-label="One step back" icon={<SkipBack aria-hidden className="size-3.5" />} onClick={() => onStep(-1)} disabled={index <= 0} />
        </Tip>
        <Tip text={playing ? 'Stop' : 'Play the recording'} shortcut="r" side="top">
          <Button look="quiet" size="small" aria-label={playing ? 'Stop playing' : 'Play the recording'} aria-pressed={playing} icon={playing ? <Pause aria-hidden className="size-3.5" /> : <Play aria-hidden className="size-3.5" />} onClick={onPlay} disabled={rows.length < 2} />
        </Tip>
        <Tip text="One step on" shortcut="j" side="top">
          <Button look="quiet" size="small" aria-label="One step on" icon={<SkipForward aria-hidden className="size-3.5" />} onClick={() => onStep(1)} disabled={moment === null} />
        </Tip>
      </div>
      <div className="relative h-10 min-w-0 flex-1" onPointerMove={hover} onPointerLeave={() => setOver(null)}>
        <div aria-hidden className="absolute inset-x-[7px] inset-y-0">
          <span className="absolute inset-x-0 top-3 h-px bg-line" />
          {ticks.map((tick) => (
            <span key={tick.index} className={clsx('absolute top-3 w-[2px] -translate-x-1/2 -translate-y-1/2 rounded-full', tick.tone, tick.tall ? 'h-3.5' : 'h-1.5', tick.index > index && 'opacity-35')} style={{ left: percent(axis.places[tick.index]) }} />
          ))}
          {axis.cuts.map((cut) => (
            <span key={cut.place} className="absolute top-3 h-2 w-[7px] -translate-x-1/2 -translate-y-1/2 -skew-x-12 border-x border-faint bg-page" style={{ left: percent(cut.place) }} title={`A pause of ${duration(cut.ms)}, drawn shorter`} />
          ))}
          {checkpoints.map((checkpoint) => (
            <span key={checkpoint.id} className="absolute top-[21px] size-[5px] -translate-x-1/2 rotate-45 bg-lamp" style={{ left: percent(axis.places[Math.max(0, lastAt(rows, checkpoint.seq))]) }} />
          ))}
          {axis.marks.filter((_, at) => !narrow || at % 2 === 0).map((mark, at) => (
            <span key={mark.place} className={clsx('figures absolute bottom-0 text-tiny leading-3 text-faint', at > 0 && '-translate-x-1/2')} style={{ left: percent(mark.place) }}>
              {timeOfDay(mark.at)}
            </span>
          ))}
        </div>
        <input
          type="range"
          aria-label="Moment of the run"
          aria-valuetext={row === undefined ? 'Nothing yet' : `${preciseTime(timeOf(row))}: ${wordsOf(row).slice(0, 200)}`}
          min={0}
          max={1}
          step="any"
          value={place}
          onKeyDown={keys}
          onChange={(event) => pick(rowAt(axis, Number(event.target.value)))}
          className="scrubber absolute inset-x-0 top-0 h-6! w-full"
        />
        {over !== null && <Preview row={rows[over]} shots={shots} place={axis.places[over] ?? 0} />}
      </div>
      <span className="figures w-13 text-center text-small text-soft">{row === undefined ? '' : preciseTime(timeOf(row))}</span>
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

/** What was at the place under the pointer. */
function Preview({ row, shots, place }: { row: Row | undefined; shots: readonly Shot[]; place: number }) {
  if (row === undefined) return null;
  const shot = asOf(shots, endOf(row));
  return (
    <div aria-hidden className="pointer-events-none absolute bottom-full z-30 mb-1.5 w-56 -translate-x-1/2 overflow-hidden rounded-md border border-line-strong bg-raised shadow-float" style={{ left: `clamp(112px, ${percent(place)}, calc(100% - 112px))` }}>
      {shot !== null && <ArtifactImage key={shot.image.artifact} id={shot.image.artifact} alt="" width={shot.image.width} height={shot.image.height} eager className="w-full" />}
      <p className="flex gap-2 px-2 py-1 text-small">
        <span className="figures text-faint">{preciseTime(timeOf(row))}</span>
        <span className="foreign min-w-0 flex-1 truncate">{wordsOf(row)}</span>
      </p>
    </div>
  );
}
