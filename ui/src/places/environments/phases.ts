// What an environment's state says of each of its phases. It never asks the owner.

import type { EnvironmentSummary } from '@/backend/types';

export type PhaseState = 'done' | 'active' | 'failed' | 'pending';

export interface Phase {
  name: string;
  state: PhaseState;
  tookMs: number | null;
  /** What runs in it; empty where it is no command. */
  command: string;
}

/** The commands of the phases: a sandbox and the repository come first, then each step, each check, the server. */
function commandsOf(environment: EnvironmentSummary): string[] {
  const { plan } = environment;
  return ['', '', ...plan.steps.map((step) => step.run), ...plan.checks.map((step) => step.run), ...(plan.devServer == null ? [] : [plan.devServer.run]), ''];
}

export function phasesOf(environment: EnvironmentSummary): Phase[] {
  const { state } = environment;
  const commands = commandsOf(environment);
  const at = state.type === 'settingUp' || state.type === 'failed' ? state.phase : environment.phases.length;
  return environment.phases.map((phase, index) => ({
    name: phase.name,
    tookMs: phase.tookMs ?? null,
    command: commands[index] ?? '',
    // One that is gone has only what it came to.
    state: state.type === 'removed' ? (phase.tookMs == null ? 'pending' : 'done') : index < at ? 'done' : index > at ? 'pending' : state.type === 'failed' ? 'failed' : 'active',
  }));
}

/** How far it is, in words. */
export function progressOf(environment: EnvironmentSummary): string {
  const { state, phases } = environment;
  const name = (phase: number) => phases[phase]?.name ?? 'a phase';
  switch (state.type) {
    case 'settingUp':
      return `${state.phase + 1} of ${phases.length}: ${name(state.phase)}`;
    case 'failed':
      return `Failed: ${name(state.phase)}`;
    case 'ready':
      return 'Ready: tasks of this repository start from it';
    case 'removed':
      return `Removed: ${state.reason}`;
  }
}

/** Whether something is being done for it. */
export function isBusy(environment: EnvironmentSummary): boolean {
  return environment.state.type === 'settingUp';
}
