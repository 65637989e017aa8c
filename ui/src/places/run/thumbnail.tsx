import { Monitor } from 'lucide-react';
import { useEffect, useState } from 'react';
import { address } from '@/backend/client';
import type { Image } from '@/backend/types';
import { ArtifactImage } from '@/components/artifact-image';

const EVERY_MS = 2_000;
const AFTER_FAILURE_MS = 10_000;

/** A run's screen as it is now, small, renewed while it can be seen; what was recorded last where there is no screen. */
export function Thumbnail({ run, still }: { run: string; still: Image | null }) {
  const [picture, setPicture] = useState<string | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    let shown: string | null = null;
    let tag: string | null = null;
    let timer: ReturnType<typeof setTimeout>;
    const look = async () => {
      let wait = EVERY_MS;
      if (!document.hidden) {
        try {
          const answer: Response = await fetch(address('/api/v1/runs/{run}/thumbnail', { path: { run }, query: { width: 640 } }), { signal: stop.signal, cache: 'no-store', headers: tag === null ? {} : { 'if-none-match': tag } });
          if (answer.status === 200) {
            tag = answer.headers.get('etag');
            const next = URL.createObjectURL(await answer.blob());
            setPicture(next);
            if (shown !== null) URL.revokeObjectURL(shown);
            shown = next;
          } else if (answer.status !== 304) wait = AFTER_FAILURE_MS;
        } catch {
          wait = AFTER_FAILURE_MS;
        }
      }
      if (!stop.signal.aborted) timer = setTimeout(() => void look(), wait);
    };
    void look();
    return () => {
      stop.abort();
      clearTimeout(timer);
      if (shown !== null) URL.revokeObjectURL(shown);
    };
  }, [run]);
  if (picture !== null) return <img src={picture} alt="" draggable={false} className="size-full object-cover object-top" />;
  if (still !== null) return <ArtifactImage id={still.artifact} alt="" width={still.width} height={still.height} className="size-full object-cover object-top" />;
  return (
    <span className="flex h-full items-center justify-center text-faint">
      <Monitor aria-hidden className="size-6 stroke-[1.3]" />
    </span>
  );
}
