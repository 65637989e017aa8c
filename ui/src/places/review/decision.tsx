import clsx from 'clsx';
import { GitMerge, GitPullRequestClosed, ThumbsUp } from 'lucide-react';
import type { PullRequestDetail } from '@/backend/types';
import { Command } from '@/components/command';
import { takeBranch } from '@/text/shell';

/** What became of a pull request that was decided on, and how its work is taken. */
export function Decision({ detail: { summary, approved, bareRepository } }: { detail: PullRequestDetail }) {
  const { state } = summary;
  if (state.type === 'open') {
    if (approved !== true) return null;
    return (
      <section aria-label="Decision" className="flex items-center gap-3 rounded-lg border border-line bg-raised px-4 py-3">
        <ThumbsUp aria-hidden className="size-4 shrink-0 text-good" />
        <p className="font-medium">You found this good, and nothing was asked for since. It waits to be merged.</p>
      </section>
    );
  }
  const merged = state.type === 'merged';
  const Icon = merged ? GitMerge : GitPullRequestClosed;
  return (
    <section aria-label="Decision" className="flex gap-3 rounded-lg border border-line bg-raised px-4 py-3">
      <Icon aria-hidden className={clsx('mt-0.5 size-4 shrink-0', merged ? 'text-merged' : 'text-faint')} />
      <div className="min-w-0 flex-1 space-y-2">
        {merged ? (
          <p className="font-medium">
            Merged into <span className="foreign">{summary.base}</span> as <span className="figures font-mono text-[12px]">{state.commit.slice(0, 8)}</span>
          </p>
        ) : (
          <p className="font-medium">Closed without merging</p>
        )}
        {typeof summary.url === 'string' ? (
          <p className="text-soft">
            <a href={summary.url} target="_blank" rel="noreferrer" className="text-work hover:underline">
              Pull request #{summary.number}
            </a>{' '}
            at its site
          </p>
        ) : (
          <>
            <p className="text-soft">{merged ? 'It is in Nightshift’s copy of the repository; your own checkout is as it was. Take the work with:' : 'The branch is kept in Nightshift’s copy of the repository. Look at it with:'}</p>
            <Command text={merged ? takeBranch('pull', bareRepository, summary.base) : takeBranch('fetch', bareRepository, summary.branch)} />
          </>
        )}
      </div>
    </section>
  );
}
