import { Monitor } from 'lucide-react';
import { useEffect } from 'react';
import { backend } from '@/backend/backend';
import { ArtifactImage } from '@/components/artifact-image';
import { Empty } from '@/components/empty';
import { framingAt, nextShot, spacing } from '@/story/replay';
import type { Shot, Step } from '@/story/story';
import { asOf } from '@/story/story';
import { duration, preciseTime, timeOfDay } from '@/text/format';

interface Props {
  shots: readonly Shot[];
  steps: readonly Step[];
  moment: number | null;
  /** When the moment was, in milliseconds since 1970. */
  at?: number | null;
  /** Behind something that is said about it. */
  faded?: boolean;
}

/** The recorded screen at a moment, with the agent's last action marked on it, and how near the picture is to that moment. */
export function RecordedScreen({ shots, steps, moment, at = null, faded = false }: Props) {
  const framing = framingAt(shots, moment, at);
  const shot = framing?.shot ?? null;
  useFetchedAhead(shots, shot);
  if (framing === null || shot === null) {
    return (
      <Empty icon={<Monitor />} title="No picture of the screen yet">
        The agent has not looked at its screen {moment === null ? 'so far' : 'before this moment'}.
      </Empty>
    );
  }
  const acted = asOf(steps.filter((step) => step.point !== null).map((step) => ({ seq: step.endSeq ?? step.seq, step })), moment);
  const point = !faded && acted !== null && acted.seq >= shot.seq - 2 ? acted.step.point : null;
  const taken = Date.parse(shot.at);
  return (
    <div className="flex h-full min-h-0 flex-col">
      <div className="flex min-h-0 flex-1 items-center justify-center p-3" style={{ containerType: 'size' }}>
        <figure className={`relative max-h-full max-w-full overflow-hidden rounded-md ring-1 ring-line ${faded ? 'opacity-45' : ''}`} style={{ aspectRatio: `${shot.image.width} / ${shot.image.height}`, width: `min(100%, calc(100cqh * ${shot.image.width / shot.image.height}))` }}>
          <ArtifactImage key={shot.image.artifact} id={shot.image.artifact} alt={`The screen at ${timeOfDay(taken)}, ${shot.step === null ? 'when a person took over or handed back' : `step ${shot.step.id}`}`} width={shot.image.width} height={shot.image.height} eager className="size-full" />
          {point !== null && <ActionMark x={point.x / shot.image.width} y={point.y / shot.image.height} label={acted?.step.verb ?? ''} />}
        </figure>
      </div>
      {!faded && (
        <p className="figures flex h-7 shrink-0 items-center gap-x-3 overflow-hidden border-t border-line px-3 text-small whitespace-nowrap text-faint">
          <span className="font-medium text-soft">
            Picture {framing.number} of {framing.of}
          </span>
          <span>
            {preciseTime(taken)}
            {framing.agoMs >= 1_000 && `, ${duration(framing.agoMs)} before this moment`}
          </span>
          <span className="min-w-0 truncate" title={`Taken when the agent looks at its screen, and when a person takes over or hands back; ${framing.nextMs === null ? 'this is the last one' : `the next one is ${duration(framing.nextMs)} later`}`}>
            {sparseness(shots)}
          </span>
        </p>
      )}
    </div>
  );
}

/** Says plainly that the recording is pictures and not a film. */
function sparseness(shots: readonly Shot[]): string {
  const apart = spacing(shots);
  return apart === null ? 'the only picture' : `pictures usually ${duration(apart.usual)} apart, ${duration(apart.longest)} at most`;
}

/** Has the pictures before and after fetched, so that stepping shows them at once. */
function useFetchedAhead(shots: readonly Shot[], shot: Shot | null): void {
  const after = shot === null ? null : nextShot(shots, shot.seq, 1);
  const before = shot === null ? null : nextShot(shots, shot.seq, -1);
  useEffect(() => {
    for (const near of [after, before]) if (near !== null) new Image().src = backend.artifactAddress(near.image.artifact);
  }, [after, before]);
}

/** Where the agent clicked last. */
export function ActionMark({ x, y, label }: { x: number; y: number; label: string }) {
  if (x < 0 || x > 1 || y < 0 || y > 1) return null;
  return (
    <span aria-hidden className="pointer-events-none absolute size-7 -translate-x-1/2 -translate-y-1/2" style={{ left: `${x * 100}%`, top: `${y * 100}%` }}>
      <span className="absolute inset-0 animate-breathe rounded-full border-2 border-lamp" />
      <span className="absolute inset-[9px] rounded-full bg-lamp" />
      <span className="absolute top-7 left-1/2 -translate-x-1/2 rounded-sm bg-lamp px-1 text-tiny font-medium whitespace-nowrap text-lamp-ink">{label}</span>
    </span>
  );
}
