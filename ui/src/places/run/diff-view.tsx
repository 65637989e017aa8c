import { useQueries } from '@tanstack/react-query';
import { FileDiff as FileDiffIcon } from 'lucide-react';
import { useMemo, useRef } from 'react';
import { backend } from '@/backend/backend';
import { problemOf } from '@/backend/problem';
import { DiffList } from '@/components/diff-list';
import { Empty, Waiting } from '@/components/empty';
import { ProblemBox } from '@/components/problem-box';
import { compareTexts } from '@/diff/compare';
import type { FileDiff } from '@/diff/parse';
import { usePreferences } from '@/hooks/use-settings';
import { filesAt } from '@/story/files';
import type { Step } from '@/story/story';

/** A file's text, or `null` for one that is not text. */
async function textOf(id: string | null, signal: AbortSignal): Promise<string | null | undefined> {
  if (id === null) return null;
  const bytes = new Uint8Array(await backend.artifact(id, signal));
  // Git's own rule: a NUL in the first 8,000 bytes makes a file binary.
  if (bytes.subarray(0, 8_000).includes(0)) return undefined;
  return new TextDecoder().decode(bytes);
}

/** What the agent's editor changed up to the moment shown, against what was there before it came. */
export function DiffView({ steps, counts, moment, version, repository }: { steps: readonly Step[]; counts: (seq: number) => boolean; moment: number | null; version: number; repository: string }) {
  const { splitDiff } = usePreferences();
  const files = useMemo(() => filesAt(steps, moment, counts), [steps, moment, counts, version]);
  const before = useRef(new Map<string, FileDiff>());
  const compared = useQueries({
    queries: files.map((file) => ({
      queryKey: ['written', file.before, file.after],
      staleTime: Number.POSITIVE_INFINITY,
      queryFn: async ({ signal }: { signal: AbortSignal }) => {
        const [before, after] = await Promise.all([textOf(file.before, signal), textOf(file.after, signal)]);
        const path = insideOf(file.path, repository);
        if (before === undefined || after === undefined) return { path, from: null, change: 'modified', binary: true, added: 0, removed: 0, hunks: [] } satisfies FileDiff;
        return compareTexts(path, before, after);
      },
    })),
  });
  if (files.length === 0) {
    return (
      <Empty icon={<FileDiffIcon />} title="No file is changed yet">
        Every change the agent makes with its editor appears here as it is made.
      </Empty>
    );
  }
  // A file that is changed once more is shown as it was until it is read: the place in the diff and what is folded stay.
  for (const query of compared) if (query.data !== undefined) before.current.set(query.data.path, query.data);
  const ready = files.flatMap((file, at) => compared[at]?.data ?? before.current.get(insideOf(file.path, repository)) ?? []);
  const unread = files.flatMap((file, at) => {
    const query = compared[at];
    return query === undefined || query.error === null ? [] : [{ path: insideOf(file.path, repository), query }];
  });
  if (ready.length === 0 && unread.length === 0) return <Waiting rows={8} className="pt-2" />;
  return (
    <DiffList
      files={ready}
      split={splitDiff}
      header={
        <>
          <p className="px-4 py-2 text-small text-faint">Made with the editor up to this moment. What commands wrote is in the pull request's diff.</p>
          {unread.map(({ path, query }) => (
            <div key={path} className="px-4 pb-2">
              <p className="foreign pb-1">
                <span className="font-mono text-small">{path}</span> could not be read, and is not shown as it is at this moment.
              </p>
              <ProblemBox problem={problemOf(query.error)} retry={() => void query.refetch()} />
            </div>
          ))}
        </>
      }
    />
  );
}

/** The path below the repository's folder in the sandbox, which is named like the repository. */
export function insideOf(path: string, repository: string): string {
  const name = repository.replace(/\/+$/, '').split(/[/:]/).at(-1)?.replace(/\.git$/, '') ?? '';
  const at = name === '' ? -1 : path.indexOf(`/${name}/`);
  if (at >= 0) return path.slice(at + name.length + 2);
  const parts = path.split('/').filter((part) => part !== '');
  return path.startsWith('/') && parts.length > 2 ? parts.slice(2).join('/') : path;
}
