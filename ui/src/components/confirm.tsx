import { type ReactNode, useState } from 'react';
import { Button } from './button';
import { Dialog } from './dialog';
import { ProblemBox } from './problem-box';
import { problemOf, type Problem } from '@/backend/problem';

/** Asks before something that cannot be taken back, and shows why it failed if it does. */
export function Confirm({
  open,
  onClose,
  title,
  children,
  action,
  danger = false,
  act,
}: {
  open: boolean;
  onClose: () => void;
  title: string;
  children: ReactNode;
  action: string;
  danger?: boolean;
  act: () => Promise<unknown>;
}) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const close = () => {
    setProblem(null);
    onClose();
  };
  const go = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await act();
      close();
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog open={open} onClose={close} title={title} className="w-[27rem]">
      <div className="space-y-3 px-5 pt-1 pb-4 text-soft">
        <div className="foreign">{children}</div>
        {problem !== null && <ProblemBox problem={problem} />}
        <div className="flex justify-end gap-2 pt-1">
          <Button look="quiet" onClick={close}>
            Not now
          </Button>
          <Button look={danger ? 'danger' : 'main'} busy={busy} onClick={() => void go()} data-begin>
            {action}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
