// Every operation the interface uses, as one object: places never know about HTTP.

import * as http from './http';
import type * as T from './types';

/** A run that changed, as the stream of everything tells it. */
export interface RunChanged {
  position: number;
  run: T.RunSummary;
}

export interface RunQuery {
  state?: string;
  repository?: string;
  /** Words of a task's description or repository, the last one as a beginning. */
  text?: string;
  cursor?: string;
  limit?: number;
}

const of = (run: string) => `/runs/${encodeURIComponent(run)}`;
const environment = (id: string) => `/environments/${encodeURIComponent(id)}`;
const key = (name: string) => `/keys/${encodeURIComponent(name)}`;
const pull = (run: string) => `/pull-requests/${encodeURIComponent(run)}`;

export const backend = {
  health: (signal?: AbortSignal) => http.getJson<{ version: string }>('/health', signal),
  overview: (signal?: AbortSignal) => http.getJson<T.Overview>('/overview', signal),
  search: (query: string, cursor: string, signal?: AbortSignal) => http.getJson<T.SearchReply>(http.withQuery('/search', { q: query, cursor, limit: 50 }), signal),
  doctor: () => http.getJson<T.DoctorReport>('/doctor'),
  prepareTemplate: () => http.send<{ template: string }>('POST', '/template'),

  settings: (signal?: AbortSignal) => http.getJson<T.Settings>('/settings', signal),
  changeSettings: (change: T.ChangeSettings) => http.send<T.Settings>('PUT', '/settings', change),
  undoSettings: () => http.send<T.Settings>('POST', '/settings/undo'),
  keepKey: (name: string, text: string) => http.send<T.KeySummary>('PUT', key(name), { key: text }),
  forgetKey: (name: string) => http.send<T.KeySummary>('DELETE', key(name)),
  restart: () => http.send<T.Restarting>('POST', '/restart'),
  engines: (signal?: AbortSignal) => http.getJson<T.EngineList>('/engines', signal),
  models: (signal?: AbortSignal) => http.getJson<T.ModelList>('/models', signal),

  environments: (all: boolean, signal?: AbortSignal) => http.getJson<T.EnvironmentSummary[]>(http.withQuery('/environments', { all }), signal),
  environment: (id: string, signal?: AbortSignal) => http.getJson<T.EnvironmentSummary>(environment(id), signal),
  environmentLog: (id: string, after: number, signal?: AbortSignal) => http.getJson<T.EnvironmentLog>(http.withQuery(`${environment(id)}/log`, { after }), signal),
  agents: (repository: string) => http.send<T.AgentsFound>('POST', '/agents/look', { repository }),
  planEnvironment: (wish: T.SetUpEnvironment) => http.send<T.PlannedEnvironment>('POST', '/environments/plan', wish),
  setUpEnvironment: (wish: T.SetUpEnvironment) => http.send<T.EnvironmentSummary>('POST', '/environments', wish),
  retryEnvironment: (id: string) => http.send<T.EnvironmentSummary>('POST', `${environment(id)}/retry`),
  removeEnvironment: (id: string) => http.send<T.EnvironmentSummary>('DELETE', environment(id)),

  runs: (query: RunQuery, signal?: AbortSignal) => http.getJson<T.RunList>(http.withQuery('/runs', { ...query }), signal),
  run: (run: string, signal?: AbortSignal) => http.getJson<T.RunDetail>(of(run), signal),
  events: (run: string, after: number, signal?: AbortSignal) => http.getJson<T.RunEvent[]>(http.withQuery(`${of(run)}/events`, { after }), signal),
  example: () => http.send<T.ExampleTask>('POST', '/example'),
  submit: (task: T.SubmitTask) => http.send<T.SubmitReply>('POST', '/tasks', task),
  say: (run: string, text: string, delivery: T.MessageDelivery = 'steer') => http.send<T.RunSummary>('POST', `${of(run)}/messages`, { text, delivery }),
  interrupt: (run: string) => http.send<T.RunSummary>('POST', `${of(run)}/interrupt`),
  raiseLimits: (run: string, limits: Partial<T.Limits>) => http.send<T.RunSummary>('POST', `${of(run)}/limits`, limits),
  saveCheckpoint: (run: string) => http.send<T.CheckpointSummary>('POST', `${of(run)}/checkpoints`),
  decide: (run: string, decided: T.DecideApproval) => http.send<T.RunSummary>('POST', `${of(run)}/approval`, decided),
  pause: (run: string) => http.send<T.RunSummary>('POST', `${of(run)}/pause`),
  continueRun: (run: string) => http.send<T.RunSummary>('POST', `${of(run)}/continue`),
  cancel: (run: string) => http.send<T.RunSummary>('POST', `${of(run)}/cancel`),
  rewind: (run: string, checkpoint: string) => http.send<T.RunSummary>('POST', `${of(run)}/rewind`, { checkpoint }),
  fork: (run: string, wish: T.ForkRun) => http.send<T.ForkReply>('POST', `${of(run)}/fork`, wish),
  tree: (run: string, path: string, signal?: AbortSignal) => http.getJson<T.Tree>(http.withQuery(`${of(run)}/tree`, { path }), signal),
  blob: (run: string, path: string, signal?: AbortSignal) => http.getBytes(http.withQuery(`${of(run)}/blob`, { path }), signal),

  reviewQueue: (signal?: AbortSignal) => http.getJson<T.ReviewQueue>('/reviews', signal),
  statistics: (by: T.StatisticsBy, since: string, signal?: AbortSignal) => http.getJson<T.Statistics>(http.withQuery('/statistics', { by, since }), signal),
  decidedPullRequests: (limit: number, signal?: AbortSignal) => http.getJson<T.PullRequestSummary[]>(http.withQuery('/pull-requests', { decided: true, limit }), signal),
  pullRequest: (run: string, signal?: AbortSignal) => http.getJson<T.PullRequestDetail>(pull(run), signal),
  changedFiles: (run: string, signal?: AbortSignal) => http.getJson<T.ChangedFiles>(`${pull(run)}/files`, signal),
  diff: (run: string, signal?: AbortSignal) => http.getText(`${pull(run)}/diff`, signal),
  fileDiff: (run: string, path: string, signal?: AbortSignal) => http.getText(http.withQuery(`${pull(run)}/diff`, { path }), signal),
  approve: (run: string) => http.send<T.PullRequestDetail>('POST', `${pull(run)}/approve`, {}),
  askForChanges: (run: string, ask: T.AskForChanges) => http.send<T.PullRequestDetail>('POST', `${pull(run)}/ask`, ask),
  attempts: (task: string, signal?: AbortSignal) => http.getJson<T.AttemptList>(`/tasks/${encodeURIComponent(task)}/attempts`, signal),
  closeOthers: (run: string) => http.send<T.OthersClosed>('POST', `${of(run)}/others/close`),
  merge: (run: string, merge: T.Merge) => http.send<T.MergeReply>('POST', `${pull(run)}/merge`, merge),
  close: (run: string) => http.send<T.PullRequestSummary>('POST', `${pull(run)}/close`),

  artifactAddress: (id: string) => http.address(`/artifacts/${id}`),
  artifact: (id: string, signal?: AbortSignal) => http.getBytes(`/artifacts/${id}`, signal),
};
