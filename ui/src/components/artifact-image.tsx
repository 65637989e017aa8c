import clsx from 'clsx';
import { ImageOff } from 'lucide-react';
import { useState } from 'react';
import { backend } from '@/backend/backend';

/** A recorded picture. Its box has the picture's size before it is there, so nothing moves when it comes. */
export function ArtifactImage({ id, alt, width, height, className, eager = false }: { id: string; alt: string; width?: number; height?: number; className?: string; eager?: boolean }) {
  const [missing, setMissing] = useState(false);
  if (missing) {
    return (
      <span role="img" aria-label={`${alt} (the picture is missing)`} className={clsx('flex aspect-[16/10] items-center justify-center bg-well text-faint', className)}>
        <ImageOff aria-hidden className="size-5" />
      </span>
    );
  }
  return (
    <img
      src={backend.artifactAddress(id)}
      alt={alt}
      width={width}
      height={height}
      draggable={false}
      decoding="async"
      loading={eager ? 'eager' : 'lazy'}
      onError={() => setMissing(true)}
      className={className}
    />
  );
}
