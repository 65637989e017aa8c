import { CircleAlert } from 'lucide-react';
import type { ReactNode } from 'react';
import { type Problem, sentence } from '@/backend/problem';
import { Button } from './button';
import { Words } from './words';

/** What failed, why, and what to do. */
export function ProblemBox({ problem, retry, children }: { problem: Pick<Problem, 'message' | 'hint'>; retry?: () => void; children?: ReactNode }) {
  return (
    <div role="alert" className="flex gap-2.5 rounded-md border border-bad/35 bg-bad-soft px-3 py-2 text-ink">
      <CircleAlert aria-hidden className="mt-0.5 size-4 shrink-0 text-bad" />
      <div className="foreign min-w-0 flex-1 space-y-0.5">
        <p>
          <Words text={sentence(problem.message)} />
        </p>
        {problem.hint !== '' && <p className="text-soft"><Words text={sentence(problem.hint)} /></p>}
        {children}
      </div>
      {retry !== undefined && (
        <Button size="small" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  );
}
