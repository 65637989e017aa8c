import clsx from 'clsx';
import { Check, CircleDashed, SquareTerminal, X } from 'lucide-react';
import { useMemo, useState } from 'react';
import { Link } from 'wouter';
import type { Evidence } from '@/backend/types';
import { ArtifactImage } from '@/components/artifact-image';
import { Dialog } from '@/components/dialog';
import { plainOutput } from '@/text/ansi';
import { visible } from '@/text/visible';
import { matchCriteria } from './criteria';

/** Each acceptance criterion with what backs it; then what backs other claims. */
export function EvidenceList({ run, criteria, evidence }: { run: string; criteria: readonly string[]; evidence: readonly Evidence[] }) {
  const [large, setLarge] = useState<Evidence | null>(null);
  const groups = useMemo(() => matchCriteria(criteria, evidence), [criteria, evidence]);
  return (
    <>
      <ol className="grid grid-cols-1 items-start gap-3 lg:grid-cols-2">
        {groups.map((group, index) => (
          <li key={index} className="overflow-hidden rounded-lg border border-line bg-raised">
            <div className="flex items-start gap-2.5 px-3.5 py-2.5">
              <Verdict evidence={group.evidence} />
              <p className="foreign min-w-0 flex-1 font-medium">{visible(group.claim)}</p>
              {!group.isCriterion && criteria.length > 0 && <span className="shrink-0 text-small text-faint">beyond the criteria</span>}
            </div>
            {group.evidence.length > 0 && (
              <div className="space-y-3 border-t border-line p-3">
                {group.evidence.map((each, place) => (
                  <Piece key={place} run={run} evidence={each} claim={group.claim} onLarge={() => setLarge(each)} />
                ))}
              </div>
            )}
            {group.evidence.length === 0 && <p className="border-t border-line px-3.5 py-2 text-soft">The agent noted no evidence for this. Look for it in the diff, or ask for it.</p>}
          </li>
        ))}
      </ol>
      {groups.length === 0 && <p className="rounded-lg border border-dashed border-line px-4 py-3 text-soft">The agent noted no evidence.</p>}
      <Dialog open={large !== null} onClose={() => setLarge(null)} title={large?.claim ?? ''} className="w-[min(96vw,1328px)] max-w-none">
        {large?.source.type === 'screenshot' && (
          <div className="overflow-auto px-5 pt-1 pb-5">
            <ArtifactImage id={large.source.image.artifact} alt={large.source.label} width={large.source.image.width} height={large.source.image.height} eager className="mx-auto h-auto max-w-full rounded-md border border-line" />
            <p className="foreign pt-2 text-small text-faint">
              {large.source.label}, step {large.source.step}
            </p>
          </div>
        )}
      </Dialog>
    </>
  );
}

function Verdict({ evidence }: { evidence: readonly Evidence[] }) {
  const failed = evidence.some((each) => each.source.type === 'command' && each.source.exitCode !== 0);
  const [tone, icon, name] =
    evidence.length === 0 ? ['bg-hover text-faint', <CircleDashed key="none" aria-hidden />, 'No evidence'] : failed ? ['bg-bad-soft text-bad', <X key="failed" aria-hidden />, 'A command failed'] : ['bg-good-soft text-good', <Check key="backed" aria-hidden />, 'Backed by evidence'];
  return (
    <span className={clsx('mt-px flex size-[18px] shrink-0 items-center justify-center rounded-full [&_svg]:size-3 [&_svg]:stroke-[2.6]', tone)}>
      {icon}
      <span className="sr-only">{name}</span>
    </span>
  );
}

function Piece({ run, evidence, claim, onLarge }: { run: string; evidence: Evidence; claim: string; onLarge: () => void }) {
  const { source } = evidence;
  const said = evidence.claim.trim() === claim.trim() ? '' : evidence.claim;
  if (source.type === 'screenshot') {
    return (
      <figure className="min-w-0">
        <button type="button" onClick={onLarge} aria-label={`Enlarge: ${source.label || evidence.claim}`} className="block w-full overflow-hidden rounded-md border border-line bg-screen hover:border-line-strong">
          <ArtifactImage id={source.image.artifact} alt={`${source.label}: ${evidence.claim}`} width={source.image.width} height={source.image.height} className="h-auto w-full" />
        </button>
        <Caption run={run} step={source.step} label={source.label} said={said} />
      </figure>
    );
  }
  return (
    <figure className="flex min-w-0 flex-col">
      <div className="min-h-0 flex-1 overflow-hidden rounded-md border border-line bg-well">
        <div className="flex items-start gap-2 border-b border-line px-3 py-1.5">
          <SquareTerminal aria-hidden className="mt-0.5 size-3.5 shrink-0 text-faint" />
          <code className="foreign line-clamp-3 min-w-0 flex-1 text-[12px] whitespace-pre-wrap">{visible(source.command)}</code>
          <span className={clsx('shrink-0 rounded-full px-2 text-tiny leading-4', source.exitCode === 0 ? 'bg-good-soft text-good' : 'bg-bad-soft text-bad')}>{source.exitCode === null || source.exitCode === undefined ? 'stopped' : `exit ${source.exitCode}`}</span>
        </div>
        <pre tabIndex={0} aria-label="Output" className="foreign max-h-72 overflow-auto px-3 py-2 font-mono text-[11.5px] leading-[1.1rem] whitespace-pre-wrap text-soft">
          {plainOutput(source.outputTail).trim() || '(no output)'}
        </pre>
      </div>
      <Caption run={run} step={source.step} label="" said={said} />
    </figure>
  );
}

function Caption({ run, step, label, said }: { run: string; step: string; label: string; said: string }) {
  return (
    <figcaption className="flex gap-2 pt-1.5 text-small text-faint">
      <span className="foreign min-w-0 flex-1">{[label, said].filter((part) => part !== '').join(': ')}</span>
      <Link href={`/runs/${run}?step=${step}`} className="shrink-0 rounded-sm hover:text-ink hover:underline">
        step {step}
      </Link>
    </figcaption>
  );
}
