import { useQuery } from '@tanstack/react-query';
import { Component, lazy, type ReactNode, Suspense, useState } from 'react';
import { Route, Switch, useLocation } from 'wouter';
import { backend } from './backend/backend';
import { problemOf } from './backend/problem';
import { Button } from './components/button';
import { Empty } from './components/empty';
import { ProblemBox } from './components/problem-box';
import { waitsForYou } from './components/state-mark';
import { Toasts } from './components/toasts';
import { useKeys } from './hooks/use-keys';
import { useEverything, useFinished, useOwnerLink, useUnfinished } from './hooks/use-runs';
import { Home } from './places/home/home';
import { SignIn } from './places/sign-in';
import { Help } from './shell/help';
import { useNotifications } from './shell/notify';
import { Palette, toggleTheme } from './shell/palette';
import { Rail } from './shell/rail';
import { StatusBar } from './shell/status-bar';

// Home is the first page; the rest comes when it is gone to.
const NewTask = lazy(() => import('./places/new-task/new-task').then((module) => ({ default: module.NewTask })));
const RunPlace = lazy(() => import('./places/run/run').then((module) => ({ default: module.RunPlace })));
const ReviewList = lazy(() => import('./places/review/review-list').then((module) => ({ default: module.ReviewList })));
const ReviewPlace = lazy(() => import('./places/review/review').then((module) => ({ default: module.ReviewPlace })));
const HistoryPlace = lazy(() => import('./places/history/history').then((module) => ({ default: module.HistoryPlace })));
const StatisticsPlace = lazy(() => import('./places/statistics/statistics').then((module) => ({ default: module.StatisticsPlace })));
const Environments = lazy(() => import('./places/environments/environments').then((module) => ({ default: module.Environments })));
const EnvironmentPlace = lazy(() => import('./places/environments/environment').then((module) => ({ default: module.EnvironmentPlace })));
const Agents = lazy(() => import('./places/agents/agents').then((module) => ({ default: module.Agents })));
const AttemptsPlace = lazy(() => import('./places/attempts/attempts').then((module) => ({ default: module.AttemptsPlace })));
const SettingsPlace = lazy(() => import('./places/settings/settings').then((module) => ({ default: module.SettingsPlace })));
const Doctor = lazy(() => import('./places/doctor/doctor').then((module) => ({ default: module.Doctor })));
const Welcome = lazy(() => import('./places/welcome/welcome').then((module) => ({ default: module.Welcome })));

export function App() {
  const { refused } = useOwnerLink();
  useEverything();
  if (refused !== null && refused.status === 401) return <SignIn />;
  return <Inside />;
}

function Inside() {
  const [path, go] = useLocation();
  const [palette, setPalette] = useState(false);
  const [help, setHelp] = useState(false);
  const { data: runs } = useUnfinished();
  const { data: finished } = useFinished();
  const { data: health } = useQuery({ queryKey: ['health'], queryFn: ({ signal }) => backend.health(signal) });
  const reviews = runs?.filter((run) => run.state.type === 'inReview').length ?? 0;
  const waits = runs?.filter((run) => waitsForYou(run.state)).length ?? 0;
  useNotifications(go);
  useKeys({
    'g h': () => go('/'),
    'g r': () => go('/review'),
    'g i': () => go('/history'),
    'g t': () => go('/statistics'),
    'g e': () => go('/environments'),
    'g a': () => go('/agents'),
    'g s': () => go('/settings'),
    'g d': () => go('/doctor'),
    n: () => go('/new'),
    t: toggleTheme,
    '?': () => setHelp(true),
    'ctrl+k': () => setPalette((open) => !open),
  });
  return (
    <div className="flex h-full flex-col">
      <div className="flex min-h-0 flex-1">
        <Rail waits={waits} reviews={reviews} onHelp={() => setHelp(true)} />
        <Guarded key={path}>
          <Suspense fallback={<main className="flex-1" aria-busy />}>
            <Switch>
              <Route path="/">
                <Home />
              </Route>
              <Route path="/new">
                <NewTask />
              </Route>
              <Route path="/runs/:run">{({ run }) => <RunPlace key={run} run={run} />}</Route>
              <Route path="/review">
                <ReviewList />
              </Route>
              <Route path="/review/:run">{({ run }) => <ReviewPlace key={run} run={run} />}</Route>
              <Route path="/attempts/:task">{({ task }) => <AttemptsPlace key={task} task={task} />}</Route>
              <Route path="/history">
                <HistoryPlace />
              </Route>
              <Route path="/statistics">
                <StatisticsPlace />
              </Route>
              <Route path="/environments">
                <Environments />
              </Route>
              <Route path="/environments/:id">{({ id }) => <EnvironmentPlace key={id} id={id} />}</Route>
              <Route path="/agents">
                <Agents />
              </Route>
              <Route path="/settings">
                <SettingsPlace />
              </Route>
              <Route path="/doctor">
                <Doctor />
              </Route>
              <Route path="/welcome">
                <Welcome />
              </Route>
              <Route>
                <Lost />
              </Route>
            </Switch>
          </Suspense>
        </Guarded>
      </div>
      <StatusBar runs={runs} version={health?.version} onPalette={() => setPalette(true)} />
      <Palette open={palette} onClose={() => setPalette(false)} runs={[...(runs ?? []), ...(finished ?? [])]} />
      <Help open={help} onClose={() => setHelp(false)} />
      <Toasts />
    </div>
  );
}

function Lost() {
  const [, go] = useLocation();
  return (
    <main className="flex-1 pt-24">
      <Empty title="There is nothing here" action={<Button onClick={() => go('/')}>Home</Button>}>
        The address leads to no place of this app.
      </Empty>
    </main>
  );
}

/** A defect in one place leaves the others usable. */
class Guarded extends Component<{ children: ReactNode }, { broken: unknown }> {
  override state: { broken: unknown } = { broken: null };

  static getDerivedStateFromError(broken: unknown): { broken: unknown } {
    return { broken };
  }

  override render(): ReactNode {
    if (this.state.broken === null) return this.props.children;
    return (
      <main className="flex-1 p-8">
        <ProblemBox problem={problemOf(this.state.broken)} retry={() => this.setState({ broken: null })} />
      </main>
    );
  }
}
