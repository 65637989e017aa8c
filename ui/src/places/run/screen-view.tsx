import { Monitor } from 'lucide-react';
import type { Shot, Step } from '@/story/story';
import { asOf } from '@/story/story';
import { ArtifactImage } from '@/components/artifact-image';
import { Empty } from '@/components/empty';
import { timeOfDay } from '@/text/format';

/** The recorded screen at a moment, with the agent's last action marked on it. */
export function RecordedScreen({ shots, steps, moment, faded = false }: { shots: readonly Shot[]; steps: readonly Step[]; moment: number | null; /** Behind something that is said about it. */ faded?: boolean }) {
  const shot = asOf(shots, moment);
  if (shot === null) {
    return (
      <Empty icon={<Monitor />} title="No picture of the screen yet">
        The agent has not looked at its screen {moment === null ? 'so far' : 'before this moment'}.
      </Empty>
    );
  }
  const acted = asOf(steps.filter((step) => step.point !== null).map((step) => ({ seq: step.endSeq ?? step.seq, step })), moment);
  const point = !faded && acted !== null && acted.seq >= shot.seq - 2 ? acted.step.point : null;
  return (
    <div className="flex h-full min-h-0 items-center justify-center p-3">
      <figure className={`relative max-h-full max-w-full overflow-hidden rounded-md ring-1 ring-line ${faded ? 'opacity-45' : ''}`} style={{ aspectRatio: `${shot.image.width} / ${shot.image.height}`, height: 'min(100%, calc((100cqw - 24px) / 1.6))' }}>
        <ArtifactImage key={shot.image.artifact} id={shot.image.artifact} alt={`The screen at ${timeOfDay(Date.parse(shot.at))}, step ${shot.step.id}`} width={shot.image.width} height={shot.image.height} eager className="size-full" />
        {point !== null && <ActionMark x={point.x / shot.image.width} y={point.y / shot.image.height} label={acted?.step.verb ?? ''} />}
      </figure>
    </div>
  );
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
