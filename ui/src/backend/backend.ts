// Every operation the interface uses, as one object: places never know about HTTP.

import type { paths } from '@/api/schema';
import { address, answer, client } from './client';
import type * as T from './types';

/** A run that changed, as the stream of everything tells it. */
export interface RunChanged {
  position: number;
  run: T.RunSummary;
}

/** Which runs: `text` is words of a task's description or repository, the last one as a beginning. */
export type RunQuery = NonNullable<paths['/api/v1/runs']['get']['parameters']['query']>;

const of = (run: string) => ({ params: { path: { run } } });
const environment = (environment: string) => ({ params: { path: { environment } } });
const signalled = (signal: AbortSignal | undefined) => ({ signal: signal ?? null });

export const backend = {
  health: (signal?: AbortSignal) => answer(client.GET('/api/v1/health', signalled(signal))),
  signIn: (ticket: string) => answer(client.POST('/api/v1/session', { body: { ticket } })),
  overview: (signal?: AbortSignal) => answer(client.GET('/api/v1/overview', signalled(signal))),
  search: (q: string, cursor: string, signal?: AbortSignal) => answer(client.GET('/api/v1/search', { params: { query: { q, cursor, limit: 50 } }, ...signalled(signal) })),
  doctor: () => answer(client.GET('/api/v1/doctor')),
  prepareTemplate: () => answer(client.POST('/api/v1/template')),

  settings: (signal?: AbortSignal) => answer(client.GET('/api/v1/settings', signalled(signal))),
  changeSettings: (body: T.ChangeSettings) => answer(client.PUT('/api/v1/settings', { body })),
  undoSettings: () => answer(client.POST('/api/v1/settings/undo')),
  keepKey: (name: string, key: string) => answer(client.PUT('/api/v1/keys/{name}', { params: { path: { name } }, body: { key } })),
  forgetKey: (name: string) => answer(client.DELETE('/api/v1/keys/{name}', { params: { path: { name } } })),
  restart: () => answer(client.POST('/api/v1/restart')),
  engines: (signal?: AbortSignal) => answer(client.GET('/api/v1/engines', signalled(signal))),
  models: (signal?: AbortSignal) => answer(client.GET('/api/v1/models', signalled(signal))),

  environments: (all: boolean, signal?: AbortSignal) => answer(client.GET('/api/v1/environments', { params: { query: { all } }, ...signalled(signal) })),
  environment: (id: string, signal?: AbortSignal) => answer(client.GET('/api/v1/environments/{environment}', { ...environment(id), ...signalled(signal) })),
  environmentLog: (id: string, after: number, signal?: AbortSignal) => answer(client.GET('/api/v1/environments/{environment}/log', { params: { path: { environment: id }, query: { after } }, ...signalled(signal) })),
  agents: (repository: string) => answer(client.POST('/api/v1/agents/look', { body: { repository } })),
  planEnvironment: (body: T.SetUpEnvironment) => answer(client.POST('/api/v1/environments/plan', { body })),
  setUpEnvironment: (body: T.SetUpEnvironment) => answer(client.POST('/api/v1/environments', { body })),
  retryEnvironment: (id: string) => answer(client.POST('/api/v1/environments/{environment}/retry', environment(id))),
  removeEnvironment: (id: string) => answer(client.DELETE('/api/v1/environments/{environment}', environment(id))),

  runs: (query: RunQuery, signal?: AbortSignal) => answer(client.GET('/api/v1/runs', { params: { query }, ...signalled(signal) })),
  run: (run: string, signal?: AbortSignal) => answer(client.GET('/api/v1/runs/{run}', { ...of(run), ...signalled(signal) })),
  events: (run: string, after: number, signal?: AbortSignal) => answer(client.GET('/api/v1/runs/{run}/events', { params: { path: { run }, query: { after } }, ...signalled(signal) })),
  example: () => answer(client.POST('/api/v1/example')),
  submit: (body: T.SubmitTask) => answer(client.POST('/api/v1/tasks', { body })),
  expectTask: () => answer(client.POST('/api/v1/tasks/expected')),
  say: (run: string, text: string, delivery: T.MessageDelivery = 'steer') => answer(client.POST('/api/v1/runs/{run}/messages', { ...of(run), body: { text, delivery } })),
  interrupt: (run: string) => answer(client.POST('/api/v1/runs/{run}/interrupt', of(run))),
  raiseLimits: (run: string, body: Partial<T.Limits>) => answer(client.POST('/api/v1/runs/{run}/limits', { ...of(run), body })),
  saveCheckpoint: (run: string) => answer(client.POST('/api/v1/runs/{run}/checkpoints', of(run))),
  decide: (run: string, body: T.DecideApproval) => answer(client.POST('/api/v1/runs/{run}/approval', { ...of(run), body })),
  pause: (run: string) => answer(client.POST('/api/v1/runs/{run}/pause', of(run))),
  continueRun: (run: string) => answer(client.POST('/api/v1/runs/{run}/continue', of(run))),
  cancel: (run: string) => answer(client.POST('/api/v1/runs/{run}/cancel', of(run))),
  rewind: (run: string, checkpoint: string) => answer(client.POST('/api/v1/runs/{run}/rewind', { ...of(run), body: { checkpoint } })),
  fork: (run: string, body: T.ForkRun) => answer(client.POST('/api/v1/runs/{run}/fork', { ...of(run), body })),
  tree: (run: string, path: string, signal?: AbortSignal) => answer(client.GET('/api/v1/runs/{run}/tree', { params: { path: { run }, query: { path } }, ...signalled(signal) })),
  blob: (run: string, path: string, signal?: AbortSignal) => answer(client.GET('/api/v1/runs/{run}/blob', { params: { path: { run }, query: { path } }, ...signalled(signal), parseAs: 'arrayBuffer' })),

  reviewQueue: (signal?: AbortSignal) => answer(client.GET('/api/v1/reviews', signalled(signal))),
  statistics: (by: T.StatisticsBy, since: string, signal?: AbortSignal) => answer(client.GET('/api/v1/statistics', { params: { query: { by, since } }, ...signalled(signal) })),
  decidedPullRequests: (limit: number, signal?: AbortSignal) => answer(client.GET('/api/v1/pull-requests', { params: { query: { decided: true, limit } }, ...signalled(signal) })),
  pullRequest: (run: string, signal?: AbortSignal) => answer(client.GET('/api/v1/pull-requests/{run}', { ...of(run), ...signalled(signal) })),
  changedFiles: (run: string, signal?: AbortSignal) => answer(client.GET('/api/v1/pull-requests/{run}/files', { ...of(run), ...signalled(signal) })),
  diff: (run: string, signal?: AbortSignal) => answer(client.GET('/api/v1/pull-requests/{run}/diff', { ...of(run), ...signalled(signal), parseAs: 'text' })),
  fileDiff: (run: string, path: string, signal?: AbortSignal) => answer(client.GET('/api/v1/pull-requests/{run}/diff', { params: { path: { run }, query: { path } }, ...signalled(signal), parseAs: 'text' })),
  approve: (run: string) => answer(client.POST('/api/v1/pull-requests/{run}/approve', { ...of(run), body: {} })),
  askForChanges: (run: string, body: T.AskForChanges) => answer(client.POST('/api/v1/pull-requests/{run}/ask', { ...of(run), body })),
  attempts: (task: string, signal?: AbortSignal) => answer(client.GET('/api/v1/tasks/{task}/attempts', { params: { path: { task } }, ...signalled(signal) })),
  closeOthers: (run: string) => answer(client.POST('/api/v1/runs/{run}/others/close', of(run))),
  merge: (run: string, body: T.Merge) => answer(client.POST('/api/v1/pull-requests/{run}/merge', { ...of(run), body })),
  close: (run: string) => answer(client.POST('/api/v1/pull-requests/{run}/close', of(run))),

  artifactAddress: (id: string) => address('/api/v1/artifacts/{id}', { path: { id } }),
  artifact: (id: string, signal?: AbortSignal) => answer(client.GET('/api/v1/artifacts/{id}', { params: { path: { id } }, ...signalled(signal), parseAs: 'arrayBuffer' })),
};
