import { useState } from 'react';
import type { PullRequestDetail, RunDetail } from '@/backend/types';
import { Markdown } from '@/components/markdown';
import { count, duration, money } from '@/text/format';
import { leadOf, withoutEvidence } from './body';

/** What was done and why, and what it took. */
export function Summary({ detail, run, added, removed, files }: { detail: PullRequestDetail; run: RunDetail | null; added: number; removed: number; files: number }) {
  const [whole, setWhole] = useState(false);
  const { lead, rest } = leadOf(detail.body);
  const more = withoutEvidence(rest);
  const unverified = /^## Not verified\s*$([\s\S]*?)(?=^## |(?![\s\S]))/m.exec(detail.body)?.[1]?.trim() ?? '';
  const nothing = unverified === '' || unverified === 'Nothing was named.';
  return (
    <section className="space-y-4">
      <div className="max-w-[74ch]">
        <Markdown text={lead} large />
      </div>
      {!nothing && (
        <div className="max-w-[80ch] rounded-lg border border-lamp/40 bg-lamp-soft px-3.5 py-2.5">
          <p className="mb-1 font-medium">Not verified</p>
          <Markdown text={unverified} />
        </div>
      )}
      <dl className="figures flex flex-wrap gap-x-7 gap-y-2">
        <Figure name="Changed" value={`${count(files)} ${files === 1 ? 'file' : 'files'}`} note={`+${count(added)} −${count(removed)}`} />
        <Figure name="Commits" value={count(detail.commits.length)} />
        {run !== null && <Figure name="Cost" value={money(run.summary.usage.costMicrodollars)} note={`${count(run.summary.turns)} ${run.summary.turns === 1 ? 'model call' : 'model calls'}`} />}
        {run !== null && <Figure name="Took" value={duration(Math.max(0, Date.parse(detail.summary.createdAt) - Date.parse(run.summary.task.createdAt)))} note={`${count(run.summary.steps)} ${run.summary.steps === 1 ? 'step' : 'steps'}`} />}
        {run !== null && <Figure name="Model" value={run.summary.task.model} />}
      </dl>
      {more !== '' && (
        <div>
          <button type="button" aria-expanded={whole} onClick={() => setWhole(!whole)} className="rounded-sm text-small text-work hover:underline">
            {whole ? 'Show less' : 'Where to look first, commands, cost'}
          </button>
          {whole && (
            <div className="mt-3 max-w-[80ch] rounded-lg border border-line bg-raised px-4 py-3">
              <Markdown text={more} />
            </div>
          )}
        </div>
      )}
    </section>
  );
}

function Figure({ name, value, note }: { name: string; value: string; note?: string }) {
  return (
    <div>
      <dt className="text-small text-faint">{name}</dt>
      <dd className="text-large font-medium">
        {value}
        {note !== undefined && <span className="ml-1.5 text-small font-normal text-faint">{note}</span>}
      </dd>
    </div>
  );
}
