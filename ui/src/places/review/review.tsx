import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Columns2, Columns3, GitMerge, MessageSquareText, Rows2, ThumbsUp } from 'lucide-react';
import { useCallback, useMemo, useRef, useState } from 'react';
import { Link, useLocation } from 'wouter';
import { backend } from '@/backend/backend';
import { problemOf } from '@/backend/problem';
import { AttemptMenu } from '@/components/attempt';
import { Button } from '@/components/button';
import { Confirm } from '@/components/confirm';
import { type DiffHandle, DiffList } from '@/components/diff-list';
import { Empty, Waiting } from '@/components/empty';
import { Place } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { SelfReviewList } from '@/components/self-review';
import { StateChip } from '@/components/state-mark';
import { Tip } from '@/components/tip';
import { tellDone, tellProblem } from '@/components/toasts';
import type { DiffLine, FileDiff } from '@/diff/parse';
import { othersOf, useAttempts, useCloseOthers } from '@/hooks/use-attempts';
import { useKeys } from '@/hooks/use-keys';
import { prefer, usePreferences } from '@/hooks/use-settings';
import { useOffer } from '@/shell/actions';
import { criteriaIn } from '@/text/triage';
import { count, repositoryName } from '@/text/format';
import { takeBranch } from '@/text/shell';
import { upright, visible } from '@/text/visible';
import { AskForChanges } from './ask-for-changes';
import { AttemptRows } from './attempt-rows';
import { recordingIn } from './body';
import { type Comment, CommentThread, type Writing } from './comments';
import { Compare } from './compare';
import { picturesOf } from './criteria';
import { EvidenceList } from './evidence';
import { Decision } from './decision';
import { Recording } from './recording';
import { placeOf, Remarks } from './remarks';
import { ReviewNav } from './review-nav';
import { Summary } from './summary';
import { useDiff } from './use-diff';
import { useDraft, withoutSent } from './use-draft';

/** One pull request: the evidence first, then the changes, then the decision. */
export function ReviewPlace({ run }: { run: string }) {
  const [, go] = useLocation();
  const client = useQueryClient();
  const { splitDiff } = usePreferences();
  const { draft, change } = useDraft(run);
  // The line whose editor was opened just now.
  const [opened, setOpened] = useState<string | null>(null);
  // The newest commit when it was asked for: what comes meanwhile was reviewed by nobody.
  const [merging, setMerging] = useState<string | null>(null);
  const [closing, setClosing] = useState(false);
  const [asking, setAsking] = useState(false);
  const [currentFile, setCurrentFile] = useState(0);
  const diffList = useRef<DiffHandle>(null);
  const head = useRef<HTMLDivElement>(null);
  const { data, error, refetch } = useQuery({ queryKey: ['pull-request', run], queryFn: ({ signal }) => backend.pullRequest(run, signal), refetchInterval: ({ state }) => (state.data?.runState.type === 'inReview' ? false : 3_000) });
  const detail = useQuery({ queryKey: ['run', run], queryFn: ({ signal }) => backend.run(run, signal) });
  const diff = useDiff(run, data?.summary.head);
  const { files, leftOut, readFile } = diff;
  const task = detail.data?.summary.task;
  const criteria = useMemo(() => (task?.criteria?.length ? task.criteria : criteriaIn(task?.description ?? '')), [task?.criteria, task?.description]);
  const pictures = useMemo(() => picturesOf(data?.evidence ?? []), [data?.evidence]);
  const several = detail.data?.summary.attempt == null ? null : detail.data.summary.task.id;
  const attempts = useAttempts(several);
  const others = othersOf(attempts.data, run);
  const closeOthers = useCloseOthers();
  // Whoever merges has chosen; who wants to keep the others says so.
  const [keepsOthers, setKeepsOthers] = useState(false);
  const newestReview = detail.data?.selfReviews?.at(-1);
  const open = data?.summary.state.type === 'open';
  const approves = open && data.runState.type === 'inReview' && data.approved !== true;
  const approve = async () => {
    try {
      await backend.approve(run);
      await decided();
      tellDone('Approved; it waits to be merged');
      toTop();
    } catch (thrown) {
      tellProblem(problemOf(thrown));
    }
  };
  const askToMerge = () => setMerging(data?.summary.head ?? null);
  const toFile = (index: number) => diffList.current?.toFile(Math.min(files.length - 1, Math.max(0, index)));
  const toTop = () => head.current?.scrollIntoView({ block: 'start' });

  useKeys({
    j: () => toFile(currentFile + 1),
    k: () => (currentFile === 0 ? toTop() : toFile(currentFile - 1)),
    e: toTop,
    d: () => toFile(0),
    s: () => prefer({ splitDiff: !splitDiff }),
    ...(several === null ? {} : { a: () => go(`/attempts/${several}`) }),
  });
  useOffer(`${run} ${String(open)} ${String(approves)} ${data?.summary.head ?? ''} ${several ?? ''}`, [
    ...(approves ? [{ name: 'Approve this pull request', icon: <ThumbsUp aria-hidden />, act: () => void approve() }] : []),
    ...(open
      ? [
          { name: 'Merge this pull request', icon: <GitMerge aria-hidden />, act: askToMerge },
          { name: 'Ask for changes', icon: <MessageSquareText aria-hidden />, act: () => setAsking(true) },
        ]
      : []),
    ...(several === null ? [] : [{ name: 'Show all attempts side by side', icon: <Columns3 aria-hidden />, keys: 'a', act: () => go(`/attempts/${several}`) }]),
    { name: splitDiff ? 'Show the diff unified' : 'Show the diff split', icon: <Columns2 aria-hidden />, keys: 's', act: () => prefer({ splitDiff: !splitDiff }) },
  ]);

  const onComment = useCallback(
    (at: string, file: FileDiff, line: DiffLine) => {
      change(({ begun }) => {
        // Others that hold words stay open.
        const written = begun.filter((comment) => comment.at === at || comment.text.trim() !== '');
        if (written.some((comment) => comment.at === at)) return { begun: written };
        const side = line.after === null ? 'before' : 'after';
        return { begun: [...written, { id: Date.now(), at, path: file.path, line: line.after ?? line.before ?? 0, side, quote: line.text, text: '' }] };
      });
      setOpened(at);
    },
    [change],
  );
  const onFocused = useCallback(() => setOpened(null), []);
  const below = useMemo(() => {
    const remarks = data?.remarks ?? [];
    const lines = new Set([...draft.comments, ...draft.begun].map((comment) => comment.at));
    for (const remark of remarks) {
      const at = placeOf(remark.feedback.source);
      if (at !== null) lines.add(at);
    }
    const writing = (comment: Comment): Writing => {
      const others = (begun: readonly Comment[]) => begun.filter((each) => each.at !== comment.at);
      return {
        text: comment.text,
        focus: opened === comment.at,
        onFocused,
        onText: (text) => change(({ begun }) => ({ begun: begun.map((each) => (each.at === comment.at ? { ...each, text } : each)) })),
        onSave: () => change(({ comments, begun }) => ({ comments: [...comments, comment], begun: others(begun) })),
        onCancel: () => change(({ begun }) => ({ begun: others(begun) })),
      };
    };
    return {
      lines,
      render: (at: string) => {
        const begun = draft.begun.find((comment) => comment.at === at);
        return (
          <CommentThread
            comments={draft.comments.filter((comment) => comment.at === at)}
            remarks={remarks.filter((remark) => placeOf(remark.feedback.source) === at)}
            writing={begun === undefined ? null : writing(begun)}
            onRemove={(id) => change(({ comments }) => ({ comments: comments.filter((comment) => comment.id !== id) }))}
          />
        );
      },
    };
  }, [draft.comments, draft.begun, data?.remarks, opened, onFocused, change]);

  const decided = async () => {
    await Promise.all([client.invalidateQueries({ queryKey: ['pull-request', run] }), client.invalidateQueries({ queryKey: ['pull-requests'] }), client.invalidateQueries({ queryKey: ['runs'] })]);
  };

  if (error !== null) {
    const problem = problemOf(error);
    return (
      <Place title="Review" name="Review">
        {problem.status === 404 ? (
          <Empty title="There is no such pull request" action={<Button onClick={() => go(`/runs/${run}`)}>Look at the run</Button>}>
            {problem.message}
          </Empty>
        ) : (
          <div className="p-6">
            <ProblemBox problem={problem} retry={() => void refetch()} />
          </div>
        )}
      </Place>
    );
  }
  const summary = data?.summary;
  // At a site of its own, or in the owner's copy of the repository.
  const elsewhere = typeof summary?.url === 'string';
  const unfinished = draft.begun.filter((comment) => comment.text.trim() !== '');
  const added = files.reduce((sum, file) => sum + file.added, 0);
  const removed = files.reduce((sum, file) => sum + file.removed, 0);
  return (
    <Place
      name={summary?.title ?? 'Review'}
      scrolls={false}
      title={
        <div className="flex min-w-0 items-center gap-2.5">
          {data !== undefined && <StateChip state={data.summary.state.type === 'open' ? data.runState.type : data.summary.state.type} big />}
          <h1 className="foreign truncate text-large font-semibold" title={upright(summary?.title ?? '')}>
            {upright(summary?.title ?? '')}
          </h1>
          {summary !== undefined && (
            <Link href={`/runs/${run}`} className="foreign max-w-48 shrink-0 truncate rounded-sm text-small text-faint hover:text-ink max-[1000px]:hidden">
              {repositoryName(summary.repository)} #{summary.number}
            </Link>
          )}
          {detail.data !== undefined && <AttemptMenu run={detail.data.summary} />}
        </div>
      }
      actions={
        summary !== undefined && (
          <>
            <Tip text={splitDiff ? 'Show the diff unified' : 'Show the diff split'} shortcut="s">
              <Button look="quiet" aria-label={splitDiff ? 'Show the diff unified' : 'Show the diff split'} icon={splitDiff ? <Rows2 aria-hidden className="size-4" /> : <Columns2 aria-hidden className="size-4" />} onClick={() => prefer({ splitDiff: !splitDiff })} />
            </Tip>
            <Button onClick={() => go(`/runs/${run}`)}>Run</Button>
            {open && (
              <>
                <Button look="quiet" onClick={() => setClosing(true)}>
                  Close
                </Button>
                {approves && (
                  <Button look="quiet" className="max-[1000px]:hidden" onClick={() => void approve()}>
                    Approve
                  </Button>
                )}
                <Button disabled={data?.runState.type !== 'inReview'} onClick={() => setAsking(true)}>
                  Ask for changes
                  {draft.comments.length > 0 && <span className="figures rounded-full bg-lamp px-1.5 text-tiny font-semibold text-lamp-ink">{draft.comments.length}</span>}
                </Button>
                <Button look="main" icon={<GitMerge aria-hidden className="size-3.5" />} onClick={askToMerge}>
                  Approve and merge
                </Button>
              </>
            )}
          </>
        )
      }
    >
      {data === undefined || summary === undefined ? (
        <Waiting rows={8} className="pt-3" />
      ) : (
        <div className="flex h-full min-h-0">
          <ReviewNav files={files} loading={diff.loading} current={currentFile} evidence={data.evidence.length} comments={draft.comments} onTop={toTop} onFile={toFile} />
          <div className="min-w-0 flex-1">
            <DiffList
              ref={diffList}
              files={files}
              split={splitDiff}
              below={below}
              onFile={setCurrentFile}
              leftOut={(file) => <LeftOut file={file} onRead={readFile} />}
              {...(open ? { onComment } : {})}
              header={
                <div ref={head} className="mx-auto max-w-[1180px] space-y-6 px-6 pt-5 pb-6">
                  {leftOut.length > 0 && <NotAllHere leftOut={leftOut} files={files.length} />}
                  <Decision detail={data} />
                  {attempts.data !== undefined && <AttemptRows list={attempts.data} run={run} merged={summary.state.type === 'merged'} onCloseOthers={() => closeOthers(run)} />}
                  <Summary detail={data} run={detail.data ?? null} added={added} removed={removed} files={files.length} />
                  <Remarks remarks={data.remarks ?? []} state={data.runState} />
                  {newestReview !== undefined && (
                    <section>
                      <h2 className="mb-2.5 text-large font-semibold">Self-review</h2>
                      <SelfReviewList run={run} criteria={criteria} review={newestReview} wide />
                    </section>
                  )}
                  <section>
                    <h2 className="mb-2.5 text-large font-semibold">Evidence</h2>
                    <EvidenceList run={run} criteria={criteria} evidence={data.evidence} />
                  </section>
                  <Recording recorded={recordingIn(data.body)} />
                  {pictures.length >= 2 && (
                    <section>
                      <h2 className="mb-2.5 text-large font-semibold">Before and after</h2>
                      <Compare pictures={pictures} />
                    </section>
                  )}
                  <h2 className="flex items-baseline gap-3 text-large font-semibold">
                    Changes
                    {!diff.loading && diff.error === null && (
                      <span className="figures text-small font-normal text-faint">
                        {count(files.length)} {files.length === 1 ? 'file' : 'files'}, <span className="text-good">+{count(added)}</span> <span className="text-bad">−{count(removed)}</span>
                      </span>
                    )}
                  </h2>
                  {diff.error !== null && <ProblemBox problem={problemOf(diff.error)} retry={diff.refetch} />}
                  {diff.loading && diff.error === null && <Waiting rows={4} />}
                  {!diff.loading && diff.error === null && files.length === 0 && <p className="text-soft">No file differs.</p>}
                </div>
              }
            />
          </div>
        </div>
      )}
      <Confirm
        open={merging !== null}
        onClose={() => setMerging(null)}
        title="Merge this pull request?"
        action="Merge"
        act={async () => {
          await backend.merge(run, { head: merging });
          await decided();
          toTop();
          tellDone('Merged');
          // Only now: without a merge the others may still be needed. What goes wrong with them undoes no merge, and says so itself.
          if (others.length > 0 && !keepsOthers) await closeOthers(run);
        }}
      >
        {elsewhere ? (
          <p>
            {summary?.branch} goes into {summary?.base} at its site: it is merged there, as by its own button. Your own checkout stays as it is.
          </p>
        ) : (
          <p>
            {summary?.branch} goes into {summary?.base} in Nightshift's copy of the repository. Your own checkout stays as it is; take the work with:
          </p>
        )}
        {leftOut.length > 0 && <p className="mt-2 text-bad">{leftOut.length === 1 ? 'One file was' : `${count(leftOut.length)} files were`} not shown whole: the diff is too long.</p>}
        {data !== undefined && !elsewhere && <pre tabIndex={0} aria-label="Command" className="mt-2 overflow-x-auto rounded-md bg-well px-2.5 py-1.5 text-small">{takeBranch('pull', data.bareRepository, data.summary.base)}</pre>}
        {others.length > 0 && (
          <label className="mt-3 flex items-start gap-2.5 rounded-md border border-line px-3 py-2">
            <input type="checkbox" checked={!keepsOthers} onChange={(event) => setKeepsOthers(!event.target.checked)} className="mt-[3px] size-3.5 accent-[var(--lamp)]" />
            <span>
              <span className="block font-medium text-ink">Close the {others.length === 1 ? 'other attempt' : `other ${others.length} attempts`}</span>
              What is open is closed, what still runs is cancelled. Branches are kept.
            </span>
          </label>
        )}
        {(draft.comments.length > 0 || unfinished.length > 0) && <p className="mt-2 text-lamp-text">You have comments that were not sent.</p>}
      </Confirm>
      <Confirm
        open={closing}
        onClose={() => setClosing(false)}
        title="Close without merging?"
        action="Close it"
        danger
        act={async () => {
          await backend.close(run);
          await decided();
          toTop();
          tellDone('Closed; the branch is kept');
        }}
      >
        The run ends here. {elsewhere ? 'The pull request is closed at its site, and its branch is kept there.' : "Its branch is kept in Nightshift's copy of the repository."}
      </Confirm>
      <AskForChanges
        open={asking}
        onClose={() => setAsking(false)}
        run={run}
        summary={draft.summary}
        comments={draft.comments}
        unfinished={unfinished}
        onSummary={(text) => change(() => ({ summary: text }))}
        onSent={(sent) => {
          change((before) => withoutSent(before, sent));
          setAsking(false);
          tellDone('Sent to the agent');
          void decided();
          // What was asked for stands there, and what becomes of it.
          toTop();
        }}
      />
    </Place>
  );
}

/** How many files that are left out are named at once. */
const MOST_NAMED = 12;

/** Says that the diff is not whole, and which files are not: whoever merges has to know. */
function NotAllHere({ leftOut, files }: { leftOut: readonly FileDiff[]; files: number }) {
  return (
    <section role="alert" className="rounded-lg border border-bad/40 bg-bad-soft px-4 py-3">
      <p className="font-medium text-bad">
        The diff is too long: {count(leftOut.length)} of {count(files)} {files === 1 ? 'file is' : 'files are'} not shown whole
      </p>
      <p className="foreign mt-1 text-soft">
        {leftOut.slice(0, MOST_NAMED).map((file) => visible(file.path)).join(', ')}
        {leftOut.length > MOST_NAMED && ` and ${count(leftOut.length - MOST_NAMED)} more`}. Each can be read where it stands below; look at them before you merge.
      </p>
    </section>
  );
}

function LeftOut({ file, onRead }: { file: FileDiff; onRead: (path: string) => Promise<void> }) {
  const [busy, setBusy] = useState(false);
  return (
    <p className="flex items-center gap-3 px-4 py-2 text-soft">
      {file.hunks.length > 0 ? 'The rest of this file is left out: the diff is too long.' : 'This file is left out: the diff is too long.'}
      <Button
        size="small"
        busy={busy}
        onClick={() => {
          setBusy(true);
          void onRead(file.path).finally(() => setBusy(false));
        }}
      >
        Read it
      </Button>
    </p>
  );
}
