import { useQuery } from '@tanstack/react-query';
import clsx from 'clsx';
import { Columns3, FileDiff as FileDiffIcon, FolderTree, Gauge, GitPullRequest, Hand, Maximize2, MessageSquare, Monitor, Pause, Play, Save, SquareTerminal, X } from 'lucide-react';
import { type ReactNode, useEffect, useMemo, useRef, useState } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { backend } from '@/backend/backend';
import { problemOf } from '@/backend/problem';
import { AttemptMenu } from '@/components/attempt';
import { Button } from '@/components/button';
import { Confirm } from '@/components/confirm';
import { Empty } from '@/components/empty';
import { Place } from '@/components/place';
import { Choices } from '@/components/field';
import { ProblemBox } from '@/components/problem-box';
import { isFinal, isRunning, StateChip, stateReason } from '@/components/state-mark';
import { Tip } from '@/components/tip';
import { tellDone, tellProblem } from '@/components/toasts';
import { useKeys } from '@/hooks/use-keys';
import { useNarrow } from '@/hooks/use-narrow';
import { useStory } from '@/hooks/use-story';
import { useOffer } from '@/shell/actions';
import { nextShot, timeOf } from '@/story/replay';
import { asOf, lastAt, onRoad } from '@/story/story';
import { repositoryName, titleOf } from '@/text/format';
import { criteriaIn } from '@/text/triage';
import { Chat, type ChatHandle } from './chat';
import { DiffView } from './diff-view';
import { FilesView } from './files-view';
import { GoFrom } from './go-from';
import { RunFacts } from './run-facts';
import { LiveScreen, type LiveHandle } from '@/live/live-screen';
import { RecordedScreen } from './screen-view';
import { Scrubber } from './scrubber';
import { Standstill } from './standstill';
import { StepsColumn } from './steps-column';
import { TerminalPlace } from './terminal-place';
import { endOf } from './timeline';
import { usePlaying } from './use-playing';

type View = 'screen' | 'terminal' | 'diff' | 'files';

const VIEWS: { view: View; name: string; icon: ReactNode; key: string }[] = [
  { view: 'screen', name: 'Screen', icon: <Monitor aria-hidden />, key: '1' },
  { view: 'terminal', name: 'Terminal', icon: <SquareTerminal aria-hidden />, key: '2' },
  { view: 'diff', name: 'Diff', icon: <FileDiffIcon aria-hidden />, key: '3' },
  { view: 'files', name: 'Files', icon: <FolderTree aria-hidden />, key: '4' },
];

/** What is shown and when, kept in the address so that a moment can be linked to. */
function useMoment(): { view: View; moment: number | null; show: (change: { view?: View; moment?: number | null }) => void } {
  const search = useSearch();
  const [path, go] = useLocation();
  const parameters = new URLSearchParams(search);
  const at = Number(parameters.get('at'));
  const moment = Number.isSafeInteger(at) && at > 0 ? at : null;
  const wanted = parameters.get('view');
  const view = VIEWS.find((each) => each.view === wanted)?.view ?? 'screen';
  const show = (change: { view?: View; moment?: number | null }) => {
    const next = new URLSearchParams();
    const nextView = change.view ?? view;
    const nextMoment = change.moment === undefined ? moment : change.moment;
    if (nextView !== 'screen') next.set('view', nextView);
    if (nextMoment !== null) next.set('at', String(nextMoment));
    go(next.size > 0 ? `${path}?${next.toString()}` : path, { replace: true });
  };
  return { view, moment, show };
}

function stepIn(search: string): string | null {
  return new URLSearchParams(search).get('step');
}

export function RunPlace({ run }: { run: string }) {
  const { story, passing, link, refused, caughtUp } = useStory(run);
  const { view, moment, show } = useMoment();
  const [, go] = useLocation();
  const [cancelling, setCancelling] = useState(false);
  const [busy, setBusy] = useState(false);
  const narrow = useNarrow();
  // One column beside the middle where there is room for no more: what happened, or what was said.
  const [side, setSide] = useState<'steps' | 'chat'>('steps');
  // What is being written stays while the chat makes room for the timeline, or moves to another column.
  const [draft, setDraft] = useState('');
  // Whether what is typed goes to the live screen, which then stays until the person has let go of it.
  const [held, setHeld] = useState(false);
  const chat = useRef<ChatHandle>(null);
  const live = useRef<LiveHandle>(null);
  const centre = useRef<HTMLDivElement>(null);
  const standstill = useRef<HTMLDivElement>(null);
  const { data: detail } = useQuery({ queryKey: ['run', run], queryFn: ({ signal }) => backend.run(run, signal) });
  const { rows, version, state, hasSandbox } = story;
  // Where there is a machine, its screen is shown as it is; everywhere else and at every earlier moment, what was recorded.
  const isLive = moment === null && state !== null && !isFinal(state) && hasSandbox;

  const act = async (what: () => Promise<unknown>) => {
    setBusy(true);
    try {
      await what();
    } catch (thrown) {
      tellProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  const play = usePlaying({ rows, shots: story.shots, moment, pictures: view === 'screen', show: (seq) => show({ moment: seq }) });
  // Whoever picks a moment wants to look at it.
  const pick = (seq: number | null) => {
    play.stop();
    show({ moment: seq });
  };
  const step = (by: 1 | -1) => {
    play.stop();
    const at = moment === null ? rows.length - 1 : lastAt(rows, moment);
    const next = rows[at + by];
    if (next === undefined) {
      if (by > 0) show({ moment: null });
      return;
    }
    show({ moment: endOf(next) });
  };
  const picture = (by: 1 | -1) => {
    const next = nextShot(story.shots, moment ?? (isLive ? null : (story.shots.at(-1)?.seq ?? null)), by);
    if (next !== null) pick(next.seq);
    else if (by > 0) pick(null);
  };
  const pauses = state !== null && !isFinal(state) && state.type !== 'inReview' && state.type !== 'paused';
  // At a limit it would only stop again: the limit is raised where the reason stands.
  const limited = state?.type === 'paused' && state.reason.type === 'limit';
  const continues = state?.type === 'paused' && !limited;
  const cancels = state !== null && !isFinal(state) && state.type !== 'inReview';
  const reviews = story.pullRequest !== null;
  const saves = isLive && (state?.type === 'working' || state?.type === 'waiting');
  const takes = saves || (isLive && state?.type === 'paused');
  const raise = () => {
    if (moment !== null) pick(null);
    // The reason may have to be there first; once the limit is raised there is only a button.
    requestAnimationFrame(() => standstill.current?.querySelector<HTMLElement>('input, button')?.focus());
  };
  const toggle = () => {
    if (pauses) void act(() => backend.pause(run));
    else if (limited) raise();
    else if (continues) void act(() => backend.continueRun(run));
  };
  const save = async () => {
    await backend.saveCheckpoint(run);
    tellDone('Saved: a fork or a way back can begin here');
  };
  const severalOf = detail?.summary.attempt == null ? null : detail.summary.task.id;
  const fullScreen = () => {
    if (document.fullscreenElement === null) void centre.current?.requestFullscreen();
    else void document.exitFullscreen();
  };
  const write = () => {
    setSide('chat');
    // It may have to be there first.
    requestAnimationFrame(() => chat.current?.focus());
  };
  useKeys({
    '1': () => show({ view: 'screen' }),
    '2': () => show({ view: 'terminal' }),
    '3': () => show({ view: 'diff' }),
    '4': () => show({ view: 'files' }),
    j: () => step(1),
    k: () => step(-1),
    l: () => pick(null),
    ',': () => picture(-1),
    '.': () => picture(1),
    r: play.toggle,
    m: write,
    p: toggle,
    o: () => live.current?.toggle(),
    f: fullScreen,
    ...(severalOf === null ? {} : { a: () => go(`/attempts/${severalOf}`) }),
  });
  useOffer(`${run} ${state?.type ?? ''} ${String(limited)} ${String(reviews)} ${String(takes)} ${String(saves)} ${view} ${severalOf ?? ''}`, [
    ...(pauses ? [{ name: 'Pause this run', icon: <Pause aria-hidden />, keys: 'p', act: toggle }] : []),
    ...(continues ? [{ name: 'Continue this run', icon: <Play aria-hidden />, keys: 'p', act: toggle }] : []),
    ...(limited ? [{ name: 'Raise its limit', icon: <Gauge aria-hidden />, keys: 'p', act: toggle }] : []),
    ...(reviews ? [{ name: 'Review its pull request', icon: <GitPullRequest aria-hidden />, act: () => go(`/review/${run}`) }] : []),
    ...(severalOf === null ? [] : [{ name: 'Show all attempts side by side', icon: <Columns3 aria-hidden />, keys: 'a', act: () => go(`/attempts/${severalOf}`) }]),
    { name: 'Write to the agent', icon: <MessageSquare aria-hidden />, keys: 'm', act: write },
    ...(takes && view === 'screen' ? [{ name: 'Take over, or hand back', icon: <Hand aria-hidden />, keys: 'o', act: () => live.current?.toggle() }] : []),
    ...VIEWS.map((each) => ({ name: `Show its ${each.name.toLowerCase()}`, icon: each.icon, keys: each.key, act: () => show({ view: each.view }) })),
    { name: 'Play the recording', icon: <Play aria-hidden />, keys: 'r', act: play.toggle },
    ...(saves ? [{ name: 'Save a checkpoint', icon: <Save aria-hidden />, act: () => void act(save) }] : []),
    { name: 'Full screen', icon: <Maximize2 aria-hidden />, keys: 'f', act: fullScreen },
    ...(cancels ? [{ name: 'Cancel this run', icon: <X aria-hidden />, act: () => setCancelling(true) }] : []),
  ]);
  const checkpoint = asOf(story.checkpoints, moment);
  const shownRow = moment === null ? rows.at(-1) : rows[lastAt(rows, moment)];
  // Evidence names a step; the address then names the moment at which it was over.
  const wantedStep = stepIn(useSearch());
  const found = wantedStep === null ? undefined : story.byId.get(wantedStep);
  useEffect(() => {
    if (found !== undefined) show({ moment: found.endSeq ?? found.seq, view: found.kind === 'command' ? 'terminal' : 'screen' });
  }, [found]);
  // What the run has gone back behind is in its history, and in nothing that holds.
  const counts = useMemo(() => onRoad(story.roads, moment), [story, moment, story.roads.length]);
  const plan = useMemo(() => asOf(story.plans.filter(({ seq }) => counts(seq)), moment)?.plan ?? null, [story, moment, counts, version]);
  const selfReview = useMemo(() => asOf(story.selfReviews.filter(({ seq }) => counts(seq)), moment)?.review ?? null, [story, moment, counts, version]);

  if (refused !== null) {
    return (
      <Place title="Run" name="Run">
        {refused.status === 404 ? (
          <Empty title="There is no such run" action={<Button onClick={() => go('/history')}>Search the history</Button>}>
            No run's or task's id begins with <code className="foreign">{run}</code>.
          </Empty>
        ) : (
          <div className="p-6">
            <ProblemBox problem={refused} />
          </div>
        )}
      </Place>
    );
  }
  const asks = state?.type === 'waiting';
  const criteria = story.task?.criteria?.length ? story.task.criteria : criteriaIn(story.task?.description ?? '');
  const title = story.task === null ? '' : titleOf(story.task.description);
  const why = state === null ? '' : state.type === 'queued' || state.type === 'preparing' || (state.type === 'paused' && state.reason.type === 'person') ? stateReason(state) : '';
  const switcher = (
    <div className="shrink-0 px-3 pt-2.5">
      <Choices label="Beside the screen" value={side} onChange={setSide} options={[{ value: 'steps', name: 'Timeline' }, { value: 'chat', name: asks ? 'Chat: it asks' : 'Chat' }]} />
    </div>
  );
  const said = <Chat ref={chat} run={run} draft={draft} onDraft={setDraft} said={story.said} caughtUp={caughtUp} words={passing.words} state={state ?? detail?.summary.state ?? null} moment={moment} onMoment={pick} top={narrow ? switcher : null} />;
  return (
    <Place
      name={title || 'Run'}
      scrolls={false}
      title={
        <div className="flex min-w-0 items-center gap-2.5">
          {state !== null && <StateChip state={state.type} big />}
          <h1 className="foreign truncate text-large font-semibold" title={title}>
            {title}
          </h1>
          {story.task !== null && (
            <Link href={`/history?repository=${encodeURIComponent(story.task.repository)}`} className="foreign max-w-40 shrink-0 truncate text-small text-faint hover:text-ink" title={story.task.repository}>
              {repositoryName(story.task.repository)}
            </Link>
          )}
          {detail !== undefined && <AttemptMenu run={detail.summary} />}
        </div>
      }
      actions={
        <>
          <RunFacts story={story} current={link === 'open'} />
          {pauses && (
            <Tip text="Pause" shortcut="p">
              <Button aria-label="Pause" busy={busy} icon={<Pause aria-hidden className="size-3.5" />} onClick={toggle} />
            </Tip>
          )}
          {continues && (
            <Button look="main" busy={busy} icon={<Play aria-hidden className="size-3.5" />} onClick={toggle} shortcut="p">
              Continue
            </Button>
          )}
          {cancels && (
            <Tip text="Cancel this run">
              <Button aria-label="Cancel this run" icon={<X aria-hidden className="size-4" />} onClick={() => setCancelling(true)} />
            </Tip>
          )}
          {reviews && (
            <Button look={state?.type === 'inReview' ? 'main' : 'plain'} icon={<GitPullRequest aria-hidden className="size-3.5" />} onClick={() => go(`/review/${run}`)}>
              Review
            </Button>
          )}
        </>
      }
    >
      <div className="flex h-full min-h-0">
        {(!narrow || side === 'steps') && <StepsColumn run={run} plan={plan} selfReview={selfReview} criteria={criteria} rows={rows} counts={counts} version={version} caughtUp={caughtUp} moment={moment} onMoment={pick} top={narrow ? switcher : null} />}
        {narrow && side === 'chat' && said}
        <section aria-label="What the agent sees and does" className="flex min-w-0 flex-1 flex-col">
          <div className="flex h-9 shrink-0 items-center gap-1 border-b border-line px-2">
            <div role="tablist" aria-label="View" className="flex gap-0.5">
              {VIEWS.map((each) => (
                <button
                  key={each.view}
                  type="button"
                  role="tab"
                  id={`tab-${each.view}`}
                  aria-controls="view"
                  aria-selected={view === each.view}
                  onClick={() => show({ view: each.view })}
                  className={clsx('flex h-7 items-center gap-1.5 rounded-md px-2.5 [&_svg]:size-3.5 [&_svg]:stroke-[1.7]', view === each.view ? 'bg-hover font-medium text-ink' : 'text-soft hover:bg-hover hover:text-ink')}
                >
                  {each.icon}
                  {each.name}
                </button>
              ))}
            </div>
            <span className="foreign ml-2 min-w-0 flex-1 truncate text-small text-faint" title={why}>
              {passing.setUp !== null ? `${passing.setUp.what}: ${passing.setUp.phase} (${passing.setUp.number} of ${passing.setUp.of})` : why}
            </span>
            <Tip text="Full screen" shortcut="f">
              <Button look="quiet" size="small" aria-label="Full screen" icon={<Maximize2 aria-hidden className="size-3.5" />} onClick={fullScreen} />
            </Tip>
          </div>
          {moment === null && <Standstill ref={standstill} state={state} summary={detail?.summary ?? null} />}
          <div ref={centre} id="view" role="tabpanel" aria-labelledby={`tab-${view}`} className="@container min-h-0 flex-1 bg-page">
            {view === 'screen' && (isLive || (held && moment === null) ? <LiveScreen ref={live} run={run} takes={takes} onHeld={setHeld} last={story.shots.length === 0 ? null : <RecordedScreen shots={story.shots} steps={story.steps} moment={null} faded />} /> : <RecordedScreen shots={story.shots} steps={story.steps} moment={moment} at={shownRow === undefined ? null : timeOf(shownRow)} />)}
            {view === 'terminal' && <TerminalPlace run={run} shell={isLive} steps={story.steps} moment={moment} output={passing.output} version={version} />}
            {view === 'diff' && <DiffView steps={story.steps} counts={counts} moment={moment} version={version} repository={story.task?.repository ?? ''} />}
            {view === 'files' && <FilesView run={run} steps={story.steps} counts={counts} moment={moment} version={version} repository={story.task?.repository ?? ''} />}
          </div>
          <Scrubber rows={rows} shots={story.shots} moment={moment} live={state !== null && (isRunning(state) || (hasSandbox && !isFinal(state)))} playing={play.playing} onPlay={play.toggle} onMoment={pick} onStep={step} checkpoints={story.checkpoints}>
            {checkpoint !== null && (moment !== null || !isLive) && <GoFrom run={run} checkpoint={checkpoint} rewinds={state !== null && !isFinal(state) && state.type !== 'inReview'} onRewound={() => show({ moment: null })} />}
          </Scrubber>
        </section>
        {!narrow && said}
      </div>
      <Confirm open={cancelling} onClose={() => setCancelling(false)} title="Cancel this run?" action="Cancel the run" danger act={() => backend.cancel(run)}>
        The agent stops and its sandbox is removed, with everything in it that was not delivered. Its history is kept. To stop it for now, pause it instead.
      </Confirm>
    </Place>
  );
}
