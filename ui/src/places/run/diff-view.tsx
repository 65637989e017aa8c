import { useQueries } from '@tanstack/react-query';
import { FileDiff as FileDiffIcon } from 'lucide-react';
import { useMemo } from 'react';
import { backend } from '@/backend/backend';
import { DiffList } from '@/components/diff-list';
import { Empty, Waiting } from '@/components/empty';
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
export function DiffView({ steps, moment, version, repository }: { steps: readonly Step[]; moment: number | null; version: number; repository: string }) {
  const { splitDiff } = usePreferences();
  const files = useMemo(() => filesAt(steps, moment), [steps, moment, version]);
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
  const ready = compared.flatMap((query) => (query.data === undefined ? [] : [query.data]));
  if (ready.length < files.length && !compared.some((query) => query.isError)) return <Waiting rows={8} className="pt-2" />;
  return <DiffList files={ready} split={splitDiff} header={<p className="px-4 py-2 text-small text-faint">Made with the editor up to this moment. What commands wrote is in the pull request's diff.</p>} />;
}

/** The path below the repository's folder in the sandbox, which is named like the repository. */
export function insideOf(path: string, repository: string): string {
  const name = repository.replace(/\/+$/, '').split(/[/:]/).at(-1)?.replace(/\.git$/, '') ?? '';
  const at = name === '' ? -1 : path.indexOf(`/${name}/`);
  if (at >= 0) return path.slice(at + name.length + 2);
  const parts = path.split('/').filter((part) => part !== '');
  return path.startsWith('/') && parts.length > 2 ? parts.slice(2).join('/') : path;
}
