import { useQueryClient } from '@tanstack/react-query';
import clsx from 'clsx';
import { type FormEvent, useState } from 'react';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import type { KeySummary, Settings } from '@/backend/types';
import { Button } from '@/components/button';
import { Confirm } from '@/components/confirm';
import { TextInput } from '@/components/field';
import { Section } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';

const PLACES: Record<KeySummary['place'], string> = {
  none: 'Not set',
  environment: 'In the owner’s environment',
  keyRing: 'In the key ring',
  file: 'In a file only you may read',
};

const PURPOSES: Record<string, string> = { anthropic: 'Anthropic', openai: 'OpenAI', github: 'GitHub', webhooks: 'GitHub’s webhooks' };

/** The keys that are used. One goes in and never comes back: what is shown is where it is. */
export function Keys({ settings, only }: { settings: Settings; /** The purposes that are shown, if not all are. */ only?: readonly string[] }) {
  const shown = settings.keys.filter((key) => only === undefined || only.includes(key.purpose));
  return (
    <Section title="Keys" aside={settings.keepsIn === 'keyRing' ? 'Kept in the desktop’s key ring' : 'Kept in a file of mode 0600: there is no key ring'}>
      <ul className="divide-y divide-line rounded-lg border border-line bg-raised">
        {shown.map((key) => (
          <KeyRow key={key.name} of={key} />
        ))}
      </ul>
    </Section>
  );
}

/** One key: where it is, and a way to give another or to forget it. */
export function KeyRow({ of: key }: { of: KeySummary }) {
  const client = useQueryClient();
  const [typing, setTyping] = useState(false);
  const [forgetting, setForgetting] = useState(false);
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const refresh = () => client.invalidateQueries({ queryKey: ['settings'] });
  const close = () => {
    setTyping(false);
    setText('');
    setProblem(null);
  };
  const keep = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await backend.keepKey(key.name, text);
      close();
      await refresh();
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  const there = key.place !== 'none';
  const own = key.place === 'environment';
  return (
    <li className="flex flex-col gap-2 px-4 py-3">
      <div className="flex flex-wrap items-center gap-x-6 gap-y-2">
        <div className="min-w-40 flex-1">
          <p className="foreign font-medium">{PURPOSES[key.purpose] ?? key.purpose}</p>
          <p className="foreign font-mono text-tiny text-faint">{key.name}</p>
        </div>
        <span className={clsx('flex items-center gap-1.5 text-small', there ? 'text-soft' : 'text-faint')}>
          <span aria-hidden className={clsx('size-1.5 rounded-full', key.pending ? 'bg-lamp' : there ? 'bg-good' : 'bg-line-strong')} />
          {PLACES[key.place]}
          {key.pending && <span className="text-lamp-text">not used yet</span>}
        </span>
        {!typing && !own && (
          <span className="flex gap-2">
            <Button size="small" onClick={() => setTyping(true)} aria-label={`${there ? 'Replace' : 'Set'} ${key.name}`}>
              {there ? 'Replace' : 'Set'}
            </Button>
            {there && (
              <Button size="small" look="quiet" onClick={() => setForgetting(true)} aria-label={`Forget ${key.name}`}>
                Forget
              </Button>
            )}
          </span>
        )}
      </div>
      {typing && (
        <form onSubmit={(event) => void keep(event)} className="space-y-2">
          <div className="flex gap-2">
            <TextInput aria-label={key.name} type="password" mono autoFocus placeholder="Paste the key" value={text} onChange={(event) => setText(event.target.value)} onKeyDown={(event) => event.key === 'Escape' && close()} />
            <Button type="submit" look="main" className="h-8!" busy={busy} disabled={text.trim() === ''}>
              Keep it
            </Button>
            <Button look="quiet" className="h-8!" onClick={close}>
              Not now
            </Button>
          </div>
          {problem !== null && <ProblemBox problem={problem} />}
        </form>
      )}
      <Confirm
        open={forgetting}
        onClose={() => setForgetting(false)}
        title={`Forget ${key.name}?`}
        action="Forget it"
        danger
        act={async () => {
          await backend.forgetKey(key.name);
          await refresh();
        }}
      >
        It is removed from where it is kept and cannot be shown again. Its provider can make you another.
      </Confirm>
    </li>
  );
}
