import { useVirtualizer } from '@tanstack/react-virtual';
import clsx from 'clsx';
import { ChevronDown, ChevronRight, MessageSquarePlus } from 'lucide-react';
import { type ReactNode, type Ref, useCallback, useImperativeHandle, useMemo, useRef, useState } from 'react';
import type { DiffLine, FileDiff } from '@/diff/parse';
import { useHeldRow } from '@/hooks/use-held-row';
import { count } from '@/text/format';
import { visible } from '@/text/visible';
import { type DiffRow, LARGE_FILE, lineKey, type Mark, rowsOf } from '@/diff/rows';

const LINE = 20;
const HEIGHTS: Record<DiffRow['type'], number> = { file: 38, hunk: 26, line: LINE, pair: LINE, comments: 120, binary: 44, leftOut: 44 };

/** A line longer than this is cut: a minified file is one line of a megabyte. */
const LONGEST_LINE = 1_000;

export interface DiffHandle {
  toFile: (index: number) => void;
}

interface Props {
  files: readonly FileDiff[];
  split: boolean;
  /** Lines with something below them, and what. */
  below?: { lines: ReadonlySet<string>; render: (at: string, file: FileDiff, line: DiffLine) => ReactNode };
  onComment?: (at: string, file: FileDiff, line: DiffLine) => void;
  /** What stands where the rest of a file is left out. */
  leftOut?: (file: FileDiff) => ReactNode;
  /** What stands above the diff and scrolls with it. */
  header?: ReactNode;
  onFile?: (index: number) => void;
  ref?: Ref<DiffHandle>;
}

/** A diff of any size: only the rows in view are on the page. */
export function DiffList({ files, split, below, onComment, leftOut, header, onFile, ref }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const head = useRef<HTMLDivElement>(null);
  const [toggled, setToggled] = useState<ReadonlySet<string>>(new Set());
  const folded = useMemo(() => {
    const set = new Set<string>();
    for (const file of files) {
      const large = file.added + file.removed > LARGE_FILE;
      if (large !== toggled.has(file.path)) set.add(file.path);
    }
    return set;
  }, [files, toggled]);
  const rows = useMemo(() => rowsOf(files, { split, folded, commented: below?.lines ?? new Set() }), [files, split, folded, below?.lines]);
  const fileRows = useMemo(() => rows.flatMap((row, index) => (row.type === 'file' ? [index] : [])), [rows]);
  const keyOf = useCallback((index: number) => rows[index]?.key ?? -1, [rows]);
  const { rangeExtractor, holder } = useHeldRow(rows.length, keyOf);
  const list = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    getItemKey: keyOf,
    estimateSize: (index) => HEIGHTS[rows[index]?.type ?? 'line'],
    rangeExtractor,
    overscan: 24,
    scrollMargin: head.current?.offsetHeight ?? 0,
  });
  useImperativeHandle(ref, () => ({
    toFile: (index) => {
      const row = fileRows[index];
      if (row !== undefined) list.scrollToIndex(row, { align: 'start' });
    },
  }));
  const first = list.range?.startIndex ?? 0;
  const currentRow = rows[Math.max(0, (list.scrollOffset ?? 0) > (head.current?.offsetHeight ?? 0) ? first : 0)];
  const current = currentRow === undefined ? 0 : currentRow.file;
  const reported = useRef(-1);
  if (reported.current !== current) {
    reported.current = current;
    if (onFile !== undefined) queueMicrotask(() => onFile(current));
  }
  const toggle = (path: string) =>
    setToggled((before) => {
      const after = new Set(before);
      if (!after.delete(path)) after.add(path);
      return after;
    });
  const past = (list.scrollOffset ?? 0) > (head.current?.offsetHeight ?? 0);
  const stuck = files[current];
  return (
    <div className="relative flex h-full min-h-0 flex-col">
      {past && stuck !== undefined && (
        <div className="absolute inset-x-0 top-0 z-10 mr-2.5">
          <FileHead file={stuck} folded={folded.has(stuck.path)} onToggle={() => toggle(stuck.path)} stuck />
        </div>
      )}
      <div ref={scroller} tabIndex={0} role="region" aria-label="Changes" className="min-h-0 flex-1 overflow-y-auto focus-visible:outline-offset-[-2px]">
        <div ref={head}>{header}</div>
        <div {...holder} className="relative font-mono text-[12px] leading-5" style={{ height: list.getTotalSize() }}>
          {list.getVirtualItems().map((item) => {
            const row = rows[item.index];
            const file = row === undefined ? undefined : files[row.file];
            if (row === undefined || file === undefined) return null;
            return (
              <div key={item.key} data-index={item.index} ref={list.measureElement} className="absolute inset-x-0 top-0" style={{ transform: `translateY(${item.start - list.options.scrollMargin}px)` }}>
                <Row row={row} file={file} folded={folded.has(file.path)} onToggle={() => toggle(file.path)} below={below} onComment={onComment} leftOut={leftOut} />
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

function Row({ row, file, folded, onToggle, below, onComment, leftOut }: { row: DiffRow; file: FileDiff; folded: boolean; onToggle: () => void } & { [name in 'below' | 'onComment' | 'leftOut']: Props[name] }) {
  switch (row.type) {
    case 'file':
      return <FileHead file={file} folded={folded} onToggle={onToggle} />;
    case 'hunk': {
      const hunk = file.hunks[row.hunk];
      return (
        <div className="flex h-[26px] items-center gap-3 bg-well pl-4 text-tiny text-faint">
          <span className="figures font-sans">line {hunk?.after}</span>
          <span className="foreign truncate whitespace-pre">{hunk?.context}</span>
        </div>
      );
    }
    case 'binary':
      return <p className="px-4 py-3 font-sans text-faint">A binary file: there are no lines to compare.</p>;
    case 'leftOut':
      return <div className="font-sans text-base">{leftOut?.(file)}</div>;
    case 'comments':
      return <div className="font-sans text-base">{below?.render(row.at, file, row.line)}</div>;
    case 'line':
      return <UnifiedLine line={row.line} mark={row.mark} {...(onComment !== undefined && row.line.kind !== 'note' ? { onComment: () => onComment(lineKey(file, row.line), file, row.line) } : {})} />;
    case 'pair':
      return (
        <div className="flex min-h-5">
          <Half line={row.left} mark={row.leftMark} side="before" {...commentOn(row.left, file, onComment)} />
          <Half line={row.right} mark={row.rightMark} side="after" {...commentOn(row.right, file, onComment)} />
        </div>
      );
    default:
      return null;
  }
}

function commentOn(line: DiffLine | null, file: FileDiff, onComment: Props['onComment']): { onComment?: () => void } {
  return line === null || onComment === undefined ? {} : { onComment: () => onComment(lineKey(file, line), file, line) };
}

const CHANGES: Record<FileDiff['change'], string> = { added: 'new', removed: 'removed', modified: '', renamed: 'renamed' };

function FileHead({ file, folded, onToggle, stuck = false }: { file: FileDiff; folded: boolean; onToggle: () => void; stuck?: boolean }) {
  return (
    <div className={clsx('flex h-[38px] items-center gap-2 border-y border-line bg-raised pr-4 pl-2 font-sans', stuck && 'border-t-0 shadow-[0_2px_6px_-3px_var(--shade)]')}>
      <button type="button" aria-expanded={!folded} aria-label={`${folded ? 'Unfold' : 'Fold'} ${file.path}`} onClick={onToggle} className="flex size-6 items-center justify-center rounded-sm text-faint hover:bg-hover hover:text-ink">
        {folded ? <ChevronRight aria-hidden className="size-4" /> : <ChevronDown aria-hidden className="size-4" />}
      </button>
      <span className="foreign min-w-0 truncate font-mono text-[12px]" title={file.path}>
        {file.from !== null && <span className="text-faint">{file.from} → </span>}
        {file.path}
      </span>
      {CHANGES[file.change] !== '' && <span className="shrink-0 rounded-full bg-hover px-2 text-tiny text-soft">{CHANGES[file.change]}</span>}
      {folded && file.added + file.removed > LARGE_FILE && <span className="shrink-0 text-tiny text-faint">large, so it begins folded</span>}
      <Counts file={file} />
    </div>
  );
}

export function Counts({ file }: { file: Pick<FileDiff, 'added' | 'removed' | 'binary'> }) {
  if (file.binary) return <span className="ml-auto text-tiny text-faint">binary</span>;
  return (
    <span className="figures ml-auto shrink-0 space-x-1.5 font-mono text-tiny">
      <span className="text-good">+{count(file.added)}</span>
      <span className="text-bad">−{count(file.removed)}</span>
    </span>
  );
}

const SIGN = { add: '+', remove: '−', same: ' ', note: ' ' } as const;
const GROUND = { add: 'bg-add', remove: 'bg-remove', same: '', note: '' } as const;

function UnifiedLine({ line, mark, onComment }: { line: DiffLine; mark: Mark | null; onComment?: () => void }) {
  return (
    <div className={clsx('group flex min-h-5', GROUND[line.kind])}>
      <Number value={line.before} />
      <Number value={line.after} />
      <Gutter {...(onComment === undefined ? {} : { onComment })} line={line} />
      <span aria-hidden className={clsx('w-4 shrink-0 text-center select-none', line.kind === 'add' ? 'text-good' : 'text-bad')}>
        {SIGN[line.kind]}
      </span>
      <Code line={line} mark={mark} />
    </div>
  );
}

function Half({ line, mark, side, onComment }: { line: DiffLine | null; mark: Mark | null; side: 'before' | 'after'; onComment?: () => void }) {
  if (line === null) return <div className="w-1/2 bg-well" />;
  return (
    <div className={clsx('group flex w-1/2 min-w-0', side === 'after' && 'border-l border-line', GROUND[line.kind])}>
      <Number value={side === 'before' ? line.before : line.after} />
      <Gutter {...(onComment === undefined ? {} : { onComment })} line={line} />
      <Code line={line} mark={mark} />
    </div>
  );
}

function Number({ value }: { value: number | null }) {
  return <span className="figures w-11 shrink-0 pr-2 text-right text-[11px] text-faint select-none">{value}</span>;
}

function Gutter({ onComment, line }: { onComment?: () => void; line: DiffLine }) {
  if (onComment === undefined) return <span className="w-1 shrink-0" />;
  return (
    <span className="w-5 shrink-0">
      <button type="button" onClick={onComment} aria-label={`Comment on line ${line.after ?? line.before ?? ''}`} className="flex size-5 items-center justify-center rounded-sm bg-lamp text-lamp-ink opacity-0 group-hover:opacity-100 focus-visible:opacity-100">
        <MessageSquarePlus aria-hidden className="size-3" />
      </button>
    </span>
  );
}

function Code({ line, mark }: { line: DiffLine; mark: Mark | null }) {
  const cut = line.text.length > LONGEST_LINE ? `${line.text.slice(0, LONGEST_LINE)}… (${line.text.length - LONGEST_LINE} more characters)` : line.text;
  const text = visible(cut);
  // Places of marks are those of the text as it is.
  const shifted = text !== cut;
  const strong = line.kind === 'add' ? 'bg-add-strong' : 'bg-remove-strong';
  return (
    <span className={clsx('min-w-0 flex-1 pr-3 pl-1 wrap-anywhere whitespace-pre-wrap', line.kind === 'note' && 'text-faint italic')}>
      {mark === null || shifted || mark.end > LONGEST_LINE ? (
        text
      ) : (
        <>
          {text.slice(0, mark.start)}
          <span className={clsx('rounded-[2px]', strong)}>{text.slice(mark.start, mark.end)}</span>
          {text.slice(mark.end)}
        </>
      )}
    </span>
  );
}
