import { useQuery } from '@tanstack/react-query';
import { useCallback, useMemo, useState } from 'react';
import { backend } from '@/backend/backend';
import { problemOf } from '@/backend/problem';
import { tellProblem } from '@/components/toasts';
import type { FileDiff } from '@/diff/parse';
import { wholeOf } from '@/diff/whole';

/** What a run's pull request changes, as of its newest commit; `readFile` brings a file that the diff was cut before. */
export function useDiff(run: string, head: string | undefined) {
  const of = { enabled: head !== undefined, staleTime: Number.POSITIVE_INFINITY };
  const text = useQuery({ queryKey: ['diff', run, head], queryFn: ({ signal }) => backend.diff(run, signal), ...of });
  const changed = useQuery({ queryKey: ['changed-files', run, head], queryFn: ({ signal }) => backend.changedFiles(run, signal), ...of });
  const [read, setRead] = useState<ReadonlyMap<string, FileDiff>>(new Map());
  const cut = useMemo(() => (text.data === undefined ? [] : wholeOf(text.data, changed.data?.files ?? [])), [text.data, changed.data]);
  const files = useMemo(() => cut.map((file) => (file.leftOut === true ? (read.get(`${head ?? ''}:${file.path}`) ?? file) : file)), [cut, read, head]);
  const readFile = useCallback(
    async (path: string) => {
      try {
        const [file] = wholeOf(await backend.fileDiff(run, path), []);
        if (file !== undefined) setRead((before) => new Map(before).set(`${head ?? ''}:${path}`, file));
      } catch (thrown) {
        tellProblem(problemOf(thrown));
      }
    },
    [run, head],
  );
  return {
    files,
    leftOut: useMemo(() => files.filter((file) => file.leftOut === true), [files]),
    /** Whether it is still asked for: without the list of files nobody knows whether the diff is whole. */
    loading: (text.data === undefined && text.error === null) || (changed.data === undefined && changed.error === null),
    error: text.error ?? changed.error,
    refetch: () => {
      if (text.error !== null) void text.refetch();
      if (changed.error !== null) void changed.refetch();
    },
    readFile,
  };
}
