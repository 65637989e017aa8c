import { Trash2 } from 'lucide-react';
import { type KeyboardEvent, useEffect, useRef } from 'react';
import type { NewComment, ReviewRemark } from '@/backend/types';
import { Button } from '@/components/button';
import { TextArea } from '@/components/field';
import { Remark } from './remarks';

/** A remark on a line, kept in this browser until it is sent. */
export interface Comment {
  id: number;
  /** File and line, as `lineKey` names them. */
  at: string;
  path: string;
  line: number;
  side: 'before' | 'after';
  /** The line's text, so that the agent knows what was meant. */
  quote: string;
  text: string;
}

/** A review's comments as the owner takes them. */
export function commentsOf(comments: readonly Comment[]): NewComment[] {
  return comments.map(({ path, line, side, quote, text }) => ({ path, line, side, quote: quote.trim(), words: text.trim() }));
}

/** What can be done with the comment on a line that is being written. */
export interface Writing {
  text: string;
  /** Whether it was asked for just now, so that what is typed next belongs there. */
  focus: boolean;
  onFocused: () => void;
  onText: (text: string) => void;
  onSave: () => void;
  onCancel: () => void;
}

export function CommentThread({ comments, remarks, writing, onRemove }: { comments: readonly Comment[]; remarks: readonly ReviewRemark[]; writing: Writing | null; onRemove: (id: number) => void }) {
  return (
    <div className="border-y border-line bg-page px-4 py-2.5 pl-28">
      <div className="max-w-[44rem] space-y-2">
        {remarks.map((remark) => (
          <Remark key={remark.feedback.name} remark={remark} />
        ))}
        {comments.map((comment) => (
          <div key={comment.id} className="group flex items-start gap-2 rounded-md border border-line bg-raised px-3 py-2">
            <p className="foreign min-w-0 flex-1 whitespace-pre-wrap">{comment.text}</p>
            <span className="text-tiny text-lamp-text">not sent yet</span>
            <Button look="quiet" size="small" aria-label="Remove this comment" icon={<Trash2 aria-hidden className="size-3.5" />} onClick={() => onRemove(comment.id)} />
          </div>
        ))}
        {writing !== null && <Editor {...writing} />}
      </div>
    </div>
  );
}

/** Its text is the draft's: a row of the diff is no place to keep anything. */
function Editor({ text, focus, onFocused, onText, onSave, onCancel }: Writing) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!focus) return;
    box.current?.querySelector('textarea')?.focus();
    onFocused();
  }, [focus, onFocused]);
  const save = () => {
    if (text.trim() !== '') onSave();
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      save();
    }
    if (event.key === 'Escape' && text.trim() === '') onCancel();
  };
  return (
    <div ref={box} className="space-y-2">
      <TextArea aria-label="Comment" placeholder="What should be different here?" rows={2} value={text} onChange={(event) => onText(event.target.value)} onKeyDown={keys} />
      <div className="flex justify-end gap-2">
        <Button look="quiet" size="small" onClick={onCancel}>
          Discard
        </Button>
        <Button size="small" onClick={save} disabled={text.trim() === ''} shortcut="ctrl+enter">
          Add comment
        </Button>
      </div>
    </div>
  );
}
