import { type FormEvent, useState } from 'react';
import { type Problem, problemOf } from '@/backend/problem';
import { signIn, ticketIn } from '@/backend/session';
import { Button } from '@/components/button';
import { Field, TextInput } from '@/components/field';
import { ProblemBox } from '@/components/problem-box';
import { inDesktopWindow } from '@/shell/desktop';

/** Asked for when there is no session, or it has ended. */
export function SignIn() {
  const [address, setAddress] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await signIn(ticketIn(address) ?? address.trim());
      location.reload();
    } catch (thrown) {
      setProblem(problemOf(thrown));
      setBusy(false);
    }
  };
  return (
    <main className="flex h-full items-center justify-center p-6">
      <form onSubmit={(event) => void submit(event)} className="w-[27rem] space-y-4">
        <img src="/icon.svg" alt="" width={40} height={40} />
        <div className="space-y-2">
          <h1 className="text-title font-semibold">This window has no session</h1>
          {inDesktopWindow && (
            <p className="text-soft">
              Its session has ended. <a href="shell:sign-in" className="font-medium text-work hover:underline">Let this window in again</a>, which needs nothing else.
            </p>
          )}
          <p className="text-soft">
            Only who can start programs on this machine is let in. <code className="rounded-sm bg-hover px-1">nightshift open</code> in a terminal opens a window that is; or paste the address it prints.
          </p>
        </div>
        <Field label="Address or ticket">{(ids) => <TextInput {...ids} mono autoFocus value={address} onChange={(event) => setAddress(event.target.value)} />}</Field>
        {problem !== null && <ProblemBox problem={problem} />}
        <Button type="submit" look="main" busy={busy} disabled={address.trim() === ''}>
          Let me in
        </Button>
      </form>
    </main>
  );
}
