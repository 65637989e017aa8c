// Engines in words: what there is to choose from, and what is to be said of the one that is chosen. It never asks the owner.

import type { EngineList, EngineSummary } from '@/backend/types';

/** The name of Nightshift's own agent, where an engine is named. */
export const OWN = 'nightshift';

export interface EngineOption {
  value: string;
  label: string;
}

export interface EngineChoice {
  options: readonly EngineOption[];
  /** Why the chosen one cannot work, and what to do about it. */
  trouble: { message: string; hint: string } | null;
  /** The step that puts its program into the sandbox, where it needs one. */
  install: string | null;
  /** Whether it is another agent than Nightshift's own. */
  foreign: boolean;
  /** Whether a task may name its model. */
  takesModel: boolean;
}

function called(name: string): string {
  return name === OWN ? 'Nightshift’s own' : name;
}

function option({ name, trouble }: EngineSummary): EngineOption {
  return { value: name, label: trouble == null ? called(name) : `${called(name)} (cannot work now)` };
}

/** What there is to choose from where `chosen` is chosen. Nothing is known of engines as long as the owner has not said it. */
export function engineChoice(list: EngineList | undefined, chosen: string): EngineChoice {
  const known = list?.engines ?? [];
  const engine = known.find(({ name }) => name === chosen);
  const options = known.map(option);
  // What was chosen once and is not there any more stays to be seen, so that it can be changed.
  const gone = list !== undefined && engine === undefined;
  if (engine === undefined && chosen !== '') options.push({ value: chosen, label: gone ? `${chosen} (not there any more)` : called(chosen) });
  const trouble = gone ? { message: `there is no engine ${chosen}`, hint: 'Choose another one, or add it to [engines] of the configuration.' } : (engine?.trouble ?? null);
  return { options, trouble, install: engine?.install ?? null, foreign: chosen !== '' && chosen !== OWN, takesModel: engine?.takesModel ?? true };
}

/** The model of a task: what was typed for another engine is kept, and is neither shown nor sent where it cannot be taken. */
export function modelOf({ takesModel }: Pick<EngineChoice, 'takesModel'>, typed: string): string {
  return takesModel ? typed : '';
}

/** The first option of a task: what the settings say, by its name as soon as that is known. */
export function usualEngine(list: EngineList | undefined): EngineOption {
  return { value: '', label: list === undefined ? 'As in the settings' : `As in the settings: ${called(list.defaultEngine)}` };
}
