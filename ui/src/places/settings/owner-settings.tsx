import { useQuery } from '@tanstack/react-query';
import { RotateCw, Undo2 } from 'lucide-react';
import { useEffect, useState } from 'react';
import { backend } from '@/backend/backend';
import { type Problem, problemOf, sentence } from '@/backend/problem';
import type { Settings } from '@/backend/types';
import { Button } from '@/components/button';
import { Choices, Select, TextArea, TextInput } from '@/components/field';
import { Section } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { Words } from '@/components/words';
import { useEngines } from '@/hooks/use-engines';
import { isPending, useRestart, useTakeSettings } from '@/hooks/use-owner-settings';
import { engineChoice } from '@/text/engines';
import { changesOf, type Draft, draftOf, type Errors, type Field, NAMES, valuesOf } from './draft';
import { Hosts } from './hosts';
import { Line, Lines } from './line';

/** What the owner works with: kept in its file, taken up when it starts again. */
export function OwnerSettings({ settings }: { settings: Settings }) {
  const [draft, setDraft] = useState<Draft>(() => draftOf(settings.values));
  const [base, setBase] = useState(settings);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const take = useTakeSettings();
  const changes = changesOf(draft, base.values);
  const { values, errors } = valuesOf(draft, base.values);
  // What was changed elsewhere is shown, as long as nothing is being typed here that it would wipe out.
  useEffect(() => {
    if (settings.revision === base.revision || changes.length > 0) return;
    setBase(settings);
    setDraft(draftOf(settings.values));
  }, [settings, base.revision, changes.length]);
  const took = (kept: Settings) => {
    take(kept);
    setBase(kept);
    setDraft(draftOf(kept.values));
  };
  const doing = async (what: () => Promise<Settings>) => {
    setBusy(true);
    setProblem(null);
    try {
      took(await what());
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  const put = (change: Partial<Draft>) => setDraft((before) => ({ ...before, ...change }));
  const wrong = Object.keys(errors).length > 0;
  return (
    <>
      <Pending settings={settings} busy={busy} onUndo={changes.length === 0 ? () => void doing(() => backend.undoSettings()) : null} />
      <Section title="Tasks" aside="Of tasks that say nothing else">
        <Lines>
          <EngineLine value={draft.engine} onChange={(engine) => put({ engine })} />
          <Line name="Model" help={errors.model ?? <Fallback>{base.defaults.model}</Fallback>}>
            <Models value={draft.model} wrong={errors.model !== undefined} onChange={(model) => put({ model })} />
          </Line>
          <NumberLine field="dollars" name="Budget" unit="US dollars" help="The next model call is refused before it is passed; the run pauses and asks." {...{ draft, errors, put }} />
          <NumberLine field="minutes" name="Time" unit="minutes" help="While it works; queues and pauses do not count." {...{ draft, errors, put }} />
          <NumberLine field="turns" name="Model calls" unit="calls" {...{ draft, errors, put }} />
          <NumberLine field="contextTokens" name="Context window" unit="tokens" placeholder="the model’s" help="Near its end the older part of a conversation is summed up." {...{ draft, errors, put }} />
        </Lines>
      </Section>
      <Section title="Sandboxes">
        <Lines>
          <NumberLine field="sandboxes" name="At once" unit="sandboxes" placeholder="what fits" help="By default as many as three quarters of the memory hold." {...{ draft, errors, put }} />
          <NumberLine field="memoryMib" name="Memory of each" unit="MiB" help="Another size makes another template, once." {...{ draft, errors, put }} />
          <NumberLine field="processors" name="Processors of each" unit="processors" {...{ draft, errors, put }} />
          <Line name="Spare clone" help="One waits while tasks come, so that the next starts at once; it costs some tens of megabytes.">
            <Choices
              label="Spare clone"
              value={draft.spare ? 'on' : 'off'}
              onChange={(value) => put({ spare: value === 'on' })}
              options={[
                { value: 'on', name: 'Kept' },
                { value: 'off', name: 'None' },
              ]}
            />
          </Line>
          <NumberLine field="diskSandboxMib" name="Disk of each" unit="MiB" help="What one may write before it stands still and asks you. 0 for any amount." {...{ draft, errors, put }} />
          <NumberLine field="diskReserveMib" name="Disk kept free" unit="MiB" placeholder="2048" help="Below it the sandbox that fills the disk fastest stands still until there is room. By default less on a small disk." {...{ draft, errors, put }} />
          <Hosts hosts={draft.hosts} usable={base.takesHosts} onChange={(hosts) => put({ hosts })} />
        </Lines>
      </Section>
      <Section title="Network" aside="One host a line, as in example.org, *.example.org, example.org:8443">
        <Lines>
          <HostsLine field="egressAllow" name="Always open" help="What every sandbox may reach." {...{ draft, put }} />
          <HostsLine field="egressPermit" name="Repositories may ask for" help="What a repository’s own .nightshift/config.toml and environment.toml may open for its sandboxes. * permits all." {...{ draft, put }} />
          <HostsLine field="egressSetUp" name="Set-ups may reach" help="Beside package registries, while an environment is made." {...{ draft, put }} />
        </Lines>
      </Section>
      {(changes.length > 0 || problem !== null) && (
        <div className="sticky bottom-0 z-20 -mx-5 space-y-2 border-t border-line bg-page px-5 py-3">
          {problem !== null && <ProblemBox problem={problem} />}
          <div className="flex items-center gap-2">
            <p role="status" className="min-w-0 flex-1 truncate text-soft">
              {changes.length === 0 ? 'No changes' : `${changes.length === 1 ? 'One change' : `${changes.length} changes`}: ${changes.map((field) => NAMES[field]).join(', ')}`}
            </p>
            <Button
              look="quiet"
              onClick={() => {
                setProblem(null);
                setBase(settings);
                setDraft(draftOf(settings.values));
              }}
            >
              Discard
            </Button>
            <Button look="main" busy={busy} disabled={changes.length === 0 || wrong} onClick={() => void doing(() => backend.changeSettings({ values, revision: base.revision }))}>
              Save
            </Button>
          </div>
        </div>
      )}
    </>
  );
}

/** Says that something is kept and not used yet, and offers to have it used. */
export function Pending({ settings, busy = false, onUndo = null }: { settings: Settings; busy?: boolean; onUndo?: (() => void) | null }) {
  const { busy: restarting, restart } = useRestart();
  const waits = isPending(settings);
  if (!waits && (settings.undoable == null || onUndo === null)) return null;
  return (
    <div role="status" className={`flex flex-wrap items-center gap-x-3 gap-y-2 rounded-lg border px-4 py-2.5 ${waits ? 'border-lamp/45 bg-lamp-soft' : 'border-line'}`}>
      <p className="min-w-64 flex-1">
        {waits ? (
          <>
            <span className="font-medium text-lamp-text">Kept, and used when the owner starts again.</span> <span className="text-soft">Runs go on; a model call that is being answered is asked again.</span>
          </>
        ) : (
          <span className="text-soft">The last change is in use.</span>
        )}
      </p>
      {settings.undoable != null && onUndo !== null && (
        <Button size="small" look="quiet" busy={busy} icon={<Undo2 aria-hidden className="size-3.5" />} onClick={onUndo}>
          Undo the last change
        </Button>
      )}
      {waits && (
        <Button look="main" busy={restarting} icon={<RotateCw aria-hidden className="size-3.5" />} onClick={() => void restart()}>
          Restart the owner
        </Button>
      )}
    </div>
  );
}

function Fallback({ children }: { children: string }) {
  return (
    <>
      By default <code className="text-[0.95em]">{children}</code>
    </>
  );
}

interface Put {
  draft: Draft;
  put: (change: Partial<Draft>) => void;
}

function NumberLine({ field, name, unit, help, placeholder, draft, errors, put }: Put & { field: Exclude<Field, 'hosts' | 'spare'>; name: string; unit: string; help?: string; placeholder?: string; errors: Errors }) {
  const error = errors[field];
  return (
    <Line name={name} help={error === undefined ? help : <span className="text-bad">{error}</span>}>
      <span className="flex items-center gap-2">
        <TextInput aria-label={name} aria-invalid={error !== undefined} inputMode="decimal" placeholder={placeholder} value={draft[field]} onChange={(event) => put({ [field]: event.target.value })} className="figures w-28! text-right" />
        <span className="w-20 text-small text-faint">{unit}</span>
      </span>
    </Line>
  );
}

function HostsLine({ field, name, help, draft, put }: Put & { field: 'egressAllow' | 'egressSetUp' | 'egressPermit'; name: string; help: string }) {
  return (
    <Line name={name} help={help}>
      <div className="w-72">
        <TextArea aria-label={name} rows={2} spellCheck={false} placeholder="none" value={draft[field]} onChange={(event) => put({ [field]: event.target.value })} className="font-mono text-small" />
      </div>
    </Line>
  );
}

/** The agent that works, of those that there are; why it cannot now, where it cannot. */
function EngineLine({ value, onChange }: { value: string; onChange: (engine: string) => void }) {
  const { data } = useEngines();
  const { options, trouble } = engineChoice(data, value);
  return (
    <Line name="Engine" help={trouble === null ? 'The agent in the sandbox. Another one than Nightshift’s own has to be in the repository’s environment.' : <span className="foreign text-bad"><Words text={`${sentence(trouble.message)} ${trouble.hint}`} /></span>}>
      <Select aria-label="Engine" value={value} onChange={(event) => onChange(event.target.value)} className="w-72!">
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </Select>
    </Line>
  );
}

/** A model by name, with those the providers have to choose from. */
function Models({ value, wrong, onChange }: { value: string; wrong: boolean; onChange: (model: string) => void }) {
  // Providers are asked for their lists, which may take long or fail: typing a name needs none of it.
  const { data } = useQuery({ queryKey: ['models'], queryFn: ({ signal }) => backend.models(signal), staleTime: 300_000, retry: false });
  return (
    <>
      <TextInput aria-label="Model" aria-invalid={wrong} mono list="known-models" value={value} onChange={(event) => onChange(event.target.value)} className="w-72!" />
      <datalist id="known-models">
        {(data?.models ?? []).map((model) => (
          <option key={model.name} value={model.name} />
        ))}
      </datalist>
    </>
  );
}
