import { useQuery } from '@tanstack/react-query';
import { useVirtualizer } from '@tanstack/react-virtual';
import clsx from 'clsx';
import { ChevronRight, CornerLeftUp, File, FileSymlink, Folder, FolderGit2 } from 'lucide-react';
import { useMemo, useRef, useState } from 'react';
import { backend } from '@/backend/backend';
import { problemOf } from '@/backend/problem';
import { Empty, Waiting } from '@/components/empty';
import { ProblemBox } from '@/components/problem-box';
import { filesAt } from '@/story/files';
import type { Step } from '@/story/story';
import { bytes } from '@/text/format';
import { insideOf } from './diff-view';

type Shown = { type: 'written'; path: string; artifact: string } | { type: 'repository'; path: string } | null;

/** The files the agent wrote as they were at the moment shown, and the repository as its branch has it. */
export function FilesView({ run, steps, counts, moment, version, repository }: { run: string; steps: readonly Step[]; counts: (seq: number) => boolean; moment: number | null; version: number; repository: string }) {
  const [shown, setShown] = useState<Shown>(null);
  const written = useMemo(() => filesAt(steps, moment, counts), [steps, moment, counts, version]);
  const current = shown?.type === 'written' ? (written.find((file) => insideOf(file.path, repository) === shown.path)?.after ?? shown.artifact) : null;
  return (
    <div className="flex h-full min-h-0">
      <nav aria-label="Files" className="w-64 shrink-0 overflow-y-auto border-r border-line py-2 @max-[520px]:w-44">
        {written.length > 0 && (
          <>
            <h3 className="px-3 pb-1 text-small font-medium text-faint">Written by the agent</h3>
            <ul className="mb-3 px-1.5">
              {written.map((file) => {
                const path = insideOf(file.path, repository);
                return (
                  <li key={file.path}>
                    <FileButton
                      name={path}
                      icon={<File aria-hidden className="size-3.5" />}
                      chosen={shown?.type === 'written' && shown.path === path}
                      note={file.after === null ? 'removed' : file.before === null ? 'new' : ''}
                      onPick={() => file.after !== null && setShown({ type: 'written', path, artifact: file.after })}
                    />
                  </li>
                );
              })}
            </ul>
          </>
        )}
        <h3 className="px-3 pb-1 text-small font-medium text-faint">Repository</h3>
        <FolderList run={run} onFile={(path) => setShown({ type: 'repository', path })} chosen={shown?.type === 'repository' ? shown.path : null} />
      </nav>
      <div className="min-w-0 flex-1">
        {shown === null && (
          <Empty icon={<FolderGit2 />} title="Pick a file">
            The repository is shown as the owner has it: at the branch once it is delivered, at the base commit before.
          </Empty>
        )}
        {shown?.type === 'written' && current !== null && <FileContent queryKey={['artifact', current]} load={(signal) => backend.artifact(current, signal)} path={shown.path} />}
        {shown?.type === 'repository' && <FileContent queryKey={['blob', run, shown.path]} load={(signal) => backend.blob(run, shown.path, signal)} path={shown.path} />}
      </div>
    </div>
  );
}

function FileButton({ name, icon, chosen, note = '', onPick }: { name: string; icon: React.ReactNode; chosen: boolean; note?: string; onPick: () => void }) {
  return (
    <button type="button" aria-current={chosen} onClick={onPick} title={name} className={clsx('flex h-7 w-full items-center gap-2 rounded-md px-2 text-left text-small focus-visible:outline-offset-[-2px]', chosen ? 'bg-pressed' : 'hover:bg-hover')}>
      <span className="text-faint">{icon}</span>
      <span className="foreign min-w-0 flex-1 truncate font-mono">{name}</span>
      {note !== '' && <span className="text-tiny text-faint">{note}</span>}
    </button>
  );
}

const ICONS = { folder: Folder, file: File, link: FileSymlink, submodule: FolderGit2 } as const;

function FolderList({ run, onFile, chosen }: { run: string; onFile: (path: string) => void; chosen: string | null }) {
  const [folder, setFolder] = useState('');
  const { data, error, refetch } = useQuery({ queryKey: ['tree', run, folder], queryFn: ({ signal }) => backend.tree(run, folder, signal) });
  if (error !== null) {
    return (
      <div className="px-3">
        <ProblemBox problem={problemOf(error)} retry={() => void refetch()} />
      </div>
    );
  }
  if (data === undefined) return <Waiting rows={4} />;
  return (
    <ul className="px-1.5">
      {folder !== '' && (
        <li>
          <FileButton name={folder} icon={<CornerLeftUp aria-hidden className="size-3.5" />} chosen={false} onPick={() => setFolder(folder.split('/').slice(0, -1).join('/'))} />
        </li>
      )}
      {data.entries.map((entry) => {
        const Icon = ICONS[entry.kind];
        return (
          <li key={entry.path}>
            <FileButton
              name={entry.name}
              icon={entry.kind === 'folder' ? <ChevronRight aria-hidden className="size-3.5" /> : <Icon aria-hidden className="size-3.5" />}
              chosen={chosen === entry.path}
              note={entry.size === null || entry.size === undefined ? '' : bytes(entry.size)}
              onPick={() => (entry.kind === 'folder' ? setFolder(entry.path) : onFile(entry.path))}
            />
          </li>
        );
      })}
      {data.cut && <li className="px-2 py-1 text-small text-faint">There is more than can be listed.</li>}
    </ul>
  );
}

function FileContent({ queryKey, load, path }: { queryKey: readonly unknown[]; load: (signal: AbortSignal) => Promise<ArrayBuffer>; path: string }) {
  const { data, error, refetch } = useQuery({ queryKey, queryFn: ({ signal }) => load(signal), staleTime: 60_000 });
  const content = useMemo(() => {
    if (data === undefined) return null;
    const all = new Uint8Array(data);
    return all.subarray(0, 8_000).includes(0) ? { binary: true as const, size: all.length } : { binary: false as const, lines: new TextDecoder().decode(all).split('\n') };
  }, [data]);
  if (error !== null) {
    return (
      <div className="p-4">
        <ProblemBox problem={problemOf(error)} retry={() => void refetch()} />
      </div>
    );
  }
  if (content === null) return <Waiting rows={10} className="pt-2" />;
  if (content.binary) return <Empty title="A binary file">{bytes(content.size)}; there is no text to show.</Empty>;
  return <Lines lines={content.lines} label={path} />;
}

function Lines({ lines, label }: { lines: readonly string[]; label: string }) {
  const scroller = useRef<HTMLDivElement>(null);
  const list = useVirtualizer({ count: lines.length, getScrollElement: () => scroller.current, estimateSize: () => 19, overscan: 30 });
  return (
    <div ref={scroller} tabIndex={0} role="region" aria-label={label} className="h-full overflow-auto py-2 font-mono text-[12px] focus-visible:outline-offset-[-2px]">
      <div className="relative" style={{ height: list.getTotalSize() }}>
        {list.getVirtualItems().map((item) => (
          <div key={item.key} className="absolute top-0 flex leading-[19px]" style={{ transform: `translateY(${item.start}px)` }}>
            <span className="figures w-12 shrink-0 pr-3 text-right text-[11px] text-faint select-none">{item.index + 1}</span>
            <span className="whitespace-pre">{(lines[item.index] ?? '').slice(0, 2_000)}</span>
          </div>
        ))}
      </div>
    </div>
  );
}
