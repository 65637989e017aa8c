import { useVirtualizer } from '@tanstack/react-virtual';
import clsx from 'clsx';
import { FileMinus, FilePen, FilePlus, ShieldCheck } from 'lucide-react';
import { useRef } from 'react';
import { Counts } from '@/components/diff-list';
import { Waiting } from '@/components/empty';
import type { FileDiff } from '@/diff/parse';
import type { Comment } from './comments';

const ICONS = { added: FilePlus, removed: FileMinus, modified: FilePen, renamed: FilePen } as const;

/** The way through a review: evidence, then file after file. */
export function ReviewNav({ files, loading, current, evidence, comments, onTop, onFile }: { files: readonly FileDiff[]; loading: boolean; current: number; evidence: number; comments: readonly Comment[]; onTop: () => void; onFile: (index: number) => void }) {
  const scroller = useRef<HTMLUListElement>(null);
  const list = useVirtualizer({ count: files.length, getScrollElement: () => scroller.current, estimateSize: () => 28, overscan: 12 });
  return (
    <nav aria-label="Parts of the review" className="flex w-[248px] shrink-0 max-[1000px]:w-[196px] flex-col border-r border-line pt-2 2xl:w-[300px]">
      <div className="px-2">
        <button type="button" onClick={onTop} className="flex h-7 w-full items-center gap-2 rounded-md px-2 text-left hover:bg-hover">
          <ShieldCheck aria-hidden className="size-3.5 text-faint" />
          Evidence
          <span className="figures ml-auto text-tiny text-faint">{evidence}</span>
        </button>
      </div>
      <h2 className="px-4 pt-3 pb-1 text-small font-medium text-faint">Files</h2>
      {loading && <Waiting rows={4} />}
      <ul ref={scroller} className="min-h-0 flex-1 overflow-y-auto px-2 pb-2">
        <li className="relative block" style={{ height: list.getTotalSize() }}>
          {list.getVirtualItems().map((item) => {
            const file = files[item.index];
            if (file === undefined) return null;
            const Icon = ICONS[file.change];
            const slash = file.path.lastIndexOf('/');
            const remarks = comments.filter((comment) => comment.path === file.path).length;
            return (
              <button
                key={item.key}
                type="button"
                onClick={() => onFile(item.index)}
                aria-current={current === item.index ? 'true' : undefined}
                title={file.path}
                className={clsx('absolute inset-x-0 top-0 flex h-7 items-center gap-2 rounded-md px-2 text-left text-small focus-visible:outline-offset-[-2px]', current === item.index ? 'bg-hover' : 'hover:bg-hover')}
                style={{ transform: `translateY(${item.start}px)` }}
              >
                <Icon aria-hidden className={clsx('size-3.5 shrink-0', file.change === 'added' ? 'text-good' : file.change === 'removed' ? 'text-bad' : 'text-faint')} />
                <span className="foreign min-w-0 flex-1 truncate">
                  {file.path.slice(slash + 1)}
                  {slash > 0 && <span className="ml-1.5 text-tiny text-faint">{file.path.slice(0, slash)}</span>}
                </span>
                {remarks > 0 && <span className="figures rounded-full bg-lamp px-1.5 text-[10px] font-semibold text-lamp-ink">{remarks}</span>}
                <Counts file={file} />
              </button>
            );
          })}
        </li>
      </ul>
    </nav>
  );
}
