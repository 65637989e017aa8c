import clsx from 'clsx';
import { Check as CheckIcon, TriangleAlert, X } from 'lucide-react';
import type { Check } from '@/backend/types';
import { Words } from '@/components/words';

const LOOKS = {
  good: { tone: 'bg-good-soft text-good', icon: CheckIcon, name: 'as it should be' },
  weak: { tone: 'bg-lamp-soft text-lamp-text', icon: TriangleAlert, name: 'could be better' },
  bad: { tone: 'bg-bad-soft text-bad', icon: X, name: 'must be mended' },
} as const;

export function verdictOf(checks: readonly Check[]): string {
  const bad = checks.filter((check) => check.outcome.type === 'bad').length;
  const weak = checks.filter((check) => check.outcome.type === 'weak').length;
  if (bad > 0) return bad === 1 ? 'One thing keeps tasks from running.' : `${bad} things keep tasks from running.`;
  if (weak > 0) return 'Tasks run here. Something could be better.';
  return 'Everything is as it should be.';
}

/** What was looked at, the worst first. */
export function Checks({ checks }: { checks: readonly Check[] }) {
  const rank = { bad: 0, weak: 1, good: 2 };
  const sorted = [...checks].sort((one, other) => rank[one.outcome.type] - rank[other.outcome.type]);
  return (
    <>
      <p className="mb-3 text-large font-medium">{verdictOf(checks)}</p>
      <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-raised">
        {sorted.map((check) => {
          const { outcome } = check;
          const look = LOOKS[outcome.type];
          const Icon = look.icon;
          const found = outcome.type === 'bad' ? outcome.error.message : outcome.found;
          const hint = outcome.type === 'bad' ? outcome.error.hint : outcome.type === 'weak' ? outcome.hint : '';
          return (
            <li key={check.name} className="flex gap-3 px-4 py-2.5">
              <span className={clsx('mt-px flex size-[18px] shrink-0 items-center justify-center rounded-full', look.tone)}>
                <Icon aria-hidden className="size-3 stroke-[2.4]" />
                <span className="sr-only">{look.name}</span>
              </span>
              <span className="inline-block w-36 shrink-0 font-medium first-letter:uppercase">{check.name}</span>
              <span className="foreign min-w-0 flex-1">
                <Words text={found} />
                {hint !== '' && <span className="mt-0.5 block text-soft">
                    <Words text={hint} />
                  </span>}
              </span>
            </li>
          );
        })}
      </ul>
    </>
  );
}
