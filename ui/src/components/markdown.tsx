import { Fragment, useMemo } from 'react';
import { type Block, type Inline, parseMarkdown } from '@/text/markdown';
import { ArtifactImage } from './artifact-image';

/** Markdown of an agent or a pull request. It is built of elements; no text in it can become HTML. */
export function Markdown({ text, large = false }: { text: string; large?: boolean }) {
  const blocks = useMemo(() => parseMarkdown(text), [text]);
  return (
    <div className={`foreign min-w-0 space-y-2.5 ${large ? 'text-[0.875rem] leading-[1.4rem]' : ''}`}>
      <Blocks blocks={blocks} />
    </div>
  );
}

function Blocks({ blocks }: { blocks: readonly Block[] }) {
  return blocks.map((block, index) => <BlockView key={index} block={block} />);
}

function BlockView({ block }: { block: Block }) {
  switch (block.type) {
    case 'heading':
      // The page has headings of its own; those of a text are below them.
      return (
        <p role="heading" aria-level={Math.min(6, block.level + 2)} className={block.level <= 2 ? 'pt-1 text-large font-semibold' : 'pt-1 font-semibold'}>
          <Inlines parts={block.content} />
        </p>
      );
    case 'paragraph':
      return (
        <p>
          <Inlines parts={block.content} />
        </p>
      );
    case 'code':
      return (
        <pre tabIndex={0} aria-label="Code" className="max-h-96 overflow-auto rounded-md border border-line bg-well px-3 py-2 font-mono text-small whitespace-pre">
          {block.text}
        </pre>
      );
    case 'list': {
      const items = block.items.map((item, index) => (
        <li key={index} className="space-y-1.5 pl-0.5">
          <Blocks blocks={item} />
        </li>
      ));
      return block.ordered ? <ol className="list-decimal space-y-1 pl-5 marker:text-faint">{items}</ol> : <ul className="list-disc space-y-1 pl-4 marker:text-faint">{items}</ul>;
    }
    case 'quote':
      return (
        <blockquote className="space-y-2 border-l-2 border-line-strong pl-3 text-soft">
          <Blocks blocks={block.content} />
        </blockquote>
      );
    case 'rule':
      return <hr className="border-line" />;
    default:
      return null;
  }
}

function Inlines({ parts }: { parts: readonly Inline[] }) {
  return parts.map((part, index) => <InlineView key={index} part={part} />);
}

function InlineView({ part }: { part: Inline }) {
  switch (part.type) {
    case 'text':
      return <Fragment>{part.text}</Fragment>;
    case 'code':
      return <code className="rounded-sm bg-hover px-1 py-px text-[0.92em]">{part.text}</code>;
    case 'strong':
      return (
        <strong className="font-semibold">
          <Inlines parts={part.content} />
        </strong>
      );
    case 'emphasis':
      return (
        <em>
          <Inlines parts={part.content} />
        </em>
      );
    case 'link':
      return (
        <a href={part.href} title={part.href} target="_blank" rel="noopener noreferrer" className="text-work underline decoration-work/40 underline-offset-2 hover:decoration-work">
          <Inlines parts={part.content} />
        </a>
      );
    case 'image':
      return <ArtifactImage id={part.artifact} alt={part.alt} className="my-1 max-w-full rounded-md border border-line" />;
    case 'break':
      return <br />;
    default:
      return null;
  }
}
