import clsx from 'clsx';
import { Check, CircleDashed, X } from 'lucide-react';
import { Link } from 'wouter';
import type { CriterionVerdict, SelfReview } from '@/backend/types';
import { outcomeTone, outcomeWords, stepOf, verdictWords } from '@/story/self-review';
import { visible } from '@/text/visible';

const TONES = { plain: 'text-soft', good: 'text-good', bad: 'text-bad', lamp: 'text-lamp-text' } as const;

/** What a critic found of each criterion, and what came of it. */
export function SelfReviewList({ run, criteria, review, wide = false }: { run: string; criteria: readonly string[]; review: SelfReview; wide?: boolean }) {
  const { outcome } = review;
  return (
    <div>
      <p className={clsx('font-medium', TONES[outcomeTone(review)])}>
        Round {review.round} of {review.of}: {outcomeWords(review)}
      </p>
      {outcome.type === 'noVerdict' && <p className="foreign text-soft">{visible(outcome.reason)}</p>}
      <ol className={clsx('pt-1', wide && 'grid grid-cols-1 gap-x-6 lg:grid-cols-2')}>
        {review.verdicts.map((found) => (
          <li key={found.criterion} className="flex gap-2 py-1">
            <Mark verdict={found.verdict} />
            <div className="min-w-0 flex-1">
              <p className="foreign">{visible(criteria[found.criterion - 1] ?? 'As described')}</p>
              <p className="text-small text-soft">
                <span className="font-medium">{verdictWords(found)}</span>: <span className="foreign">{visible(found.words)}</span> <Step run={run} found={found} />
              </p>
            </div>
          </li>
        ))}
      </ol>
      {review.words.trim() !== '' && <p className="foreign pt-1 text-small whitespace-pre-wrap text-soft">{visible(review.words)}</p>}
    </div>
  );
}

function Step({ run, found }: { run: string; found: CriterionVerdict }) {
  const step = stepOf(found);
  if (step === null) return null;
  return (
    <Link href={`/runs/${run}?step=${encodeURIComponent(step)}`} className="whitespace-nowrap text-faint underline decoration-line-strong underline-offset-2 hover:text-ink">
      step {step}
    </Link>
  );
}

function Mark({ verdict }: { verdict: CriterionVerdict['verdict'] }) {
  const [tone, icon] =
    verdict === 'met' ? ['bg-good-soft text-good', <Check key="met" aria-hidden />] : verdict === 'notMet' ? ['bg-bad-soft text-bad', <X key="not" aria-hidden />] : ['bg-hover text-faint', <CircleDashed key="unknown" aria-hidden />];
  return <span className={clsx('mt-px flex size-[18px] shrink-0 items-center justify-center rounded-full [&_svg]:size-3 [&_svg]:stroke-[2.6]', tone)}>{icon}</span>;
}
