import { useQuery } from '@tanstack/react-query';
import clsx from 'clsx';
import { Bot, CircleAlert, CircleX } from 'lucide-react';
import { type FormEvent, useMemo, useState } from 'react';
import { useLocation, useSearch } from 'wouter';
import { backend } from '@/backend/backend';
import { problemOf } from '@/backend/problem';
import type { AgentFinding, AgentFound } from '@/backend/types';
import { Button } from '@/components/button';
import { Empty, Waiting } from '@/components/empty';
import { TextInput } from '@/components/field';
import { Place, Section } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { useFinished, useUnfinished } from '@/hooks/use-runs';
import { visible } from '@/text/visible';

/** Repositories that tasks were given in, the newest first. */
function useRepositories(): string[] {
  const { data: unfinished } = useUnfinished();
  const { data: finished } = useFinished();
  return useMemo(() => [...new Set([...(unfinished ?? []), ...(finished ?? [])].map((run) => run.task.repository))].slice(0, 12), [unfinished, finished]);
}

/** The agents that a task in a repository can start, and what is wrong with their definitions. */
export function Agents() {
  const [, go] = useLocation();
  const repositories = useRepositories();
  const wanted = new URLSearchParams(useSearch()).get('repository') ?? '';
  const repository = wanted === '' ? (repositories[0] ?? '') : wanted;
  const [typed, setTyped] = useState<string | null>(null);
  const found = useQuery({ queryKey: ['agents', repository], queryFn: () => backend.agents(repository), enabled: repository !== '' });
  const look = (event: FormEvent) => {
    event.preventDefault();
    const named = (typed ?? repository).trim();
    setTyped(null);
    if (named === repository) void found.refetch();
    else go(`/agents?repository=${encodeURIComponent(named)}`);
  };
  const data = found.data;
  const theirs = data?.agents.filter((agent) => agent.owner === 'repository') ?? [];
  const own = data?.agents.filter((agent) => agent.owner === 'person') ?? [];
  return (
    <Place
      title="Agents"
      name="Agents"
      reads
      bar={
        <form onSubmit={look} className="flex min-w-0 flex-1 items-center gap-2 pl-4">
          <span className="w-full max-w-[30rem]">
            <TextInput mono aria-label="Repository" list="agents-repositories" placeholder="/home/you/src/app" value={typed ?? repository} onChange={(event) => setTyped(event.target.value)} className="h-[30px]!" />
          </span>
          <datalist id="agents-repositories">
            {repositories.map((each) => (
              <option key={each} value={each} />
            ))}
          </datalist>
          <Button type="submit" disabled={(typed ?? repository).trim() === ''}>
            Look
          </Button>
        </form>
      }
    >
      <div className="mx-auto max-w-[820px] space-y-7 px-5 pt-5 pb-10">
        {repository === '' && (
          <Empty icon={<Bot />} title="Which repository?">
            Name one above: a folder on this machine, or a URL. Its agents are read from its newest commit.
          </Empty>
        )}
        {found.error !== null && <ProblemBox problem={problemOf(found.error)} retry={() => void found.refetch()} />}
        {repository !== '' && data === undefined && found.error === null && <Waiting rows={4} />}
        {data !== undefined && found.error === null && (
          <>
            <Section
              title="Of the repository"
              count={theirs.length}
              aside={
                <span className="foreign">
                  {data.branch} at {data.commit.slice(0, 8)}
                </span>
              }
            >
              {theirs.length === 0 ? (
                <p className="rounded-lg border border-dashed border-line px-4 py-3 text-soft">
                  None are defined. An agent is a Markdown file in <code>.claude/agents</code> or <code>.nightshift/agents</code> that says by name and description what it is for; a run starts it for that part of the work.
                </p>
              ) : (
                <List agents={theirs} />
              )}
              {theirs.some(isWrong) && <p className="pt-2 text-small text-faint">As they are in that commit: mend a file, commit it, and look again.</p>}
            </Section>
            <Section title="Yours, in every repository" count={own.length}>
              {own.length === 0 ? (
                <p className="rounded-lg border border-dashed border-line px-4 py-3 text-soft">
                  None. They are files of the same kind in <code>~/.claude/agents</code>, or in <code>agents</code> beside the configuration.
                </p>
              ) : (
                <List agents={own} />
              )}
              {own.some(isWrong) && <p className="pt-2 text-small text-faint">Mend a file and look again; the next subagent that is started has it.</p>}
            </Section>
            {data.rules.length > 0 && (
              <Section title="Which is for what" count={data.rules.length} aside="from AGENTS.md, CLAUDE.md and the configuration">
                <ol className="divide-y divide-line/70 overflow-hidden rounded-lg border border-line">
                  {data.rules.map((rule, index) => (
                    <li key={index} className="flex gap-3 px-4 py-2">
                      <span className="figures w-5 shrink-0 text-right text-faint">{index + 1}</span>
                      <span className="foreign min-w-0 flex-1">{visible(rule)}</span>
                    </li>
                  ))}
                </ol>
              </Section>
            )}
          </>
        )}
      </div>
    </Place>
  );
}

/** Whether something is wrong with a definition. */
function isWrong(agent: AgentFound): boolean {
  return agent.findings.length > 0;
}

/** A file's name as the definition in it would be called. */
function nameOf(file: string): string {
  return (file.split('/').at(-1) ?? file).replace(/\.md$/, '');
}

function List({ agents }: { agents: readonly AgentFound[] }) {
  return (
    <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-raised">
      {/* What cannot be used first: it is what there is to do here. */}
      {[...agents].sort((one, other) => Number(other.definition == null) - Number(one.definition == null)).map((agent) => (
        <AgentRow key={`${agent.owner} ${agent.file}`} agent={agent} />
      ))}
    </ul>
  );
}

function AgentRow({ agent: { file, definition, findings, shadowedBy } }: { agent: AgentFound }) {
  const shadowed = typeof shadowedBy === 'string';
  const facts = definition == null ? [] : [definition.model ?? null, definition.background ? 'in the background' : null, typeof definition.maxTurns === 'number' ? `at most ${definition.maxTurns} model calls` : null, definition.tools == null ? 'all tools' : definition.tools.join(', ')].filter((fact) => fact !== null);
  return (
    <li className="space-y-1.5 px-4 py-3">
      <div className="flex items-baseline gap-2.5">
        <span className={clsx('foreign min-w-0 font-medium', shadowed && 'text-faint')}>{visible(definition?.name ?? nameOf(file))}</span>
        {definition == null && <Tag look="bad">Cannot be used</Tag>}
        {shadowed && <Tag>Not used</Tag>}
        <span className="foreign min-w-0 flex-1 truncate text-right font-mono text-tiny text-faint" title={file}>
          {visible(file)}
        </span>
      </div>
      {definition != null && <p className={clsx('foreign', shadowed ? 'text-faint' : 'text-soft')}>{visible(definition.description)}</p>}
      {facts.length > 0 && <p className="foreign text-small text-faint">{visible(facts.join(' · '))}</p>}
      {shadowed && (
        <p className="text-small text-faint">
          <span className="foreign font-mono">{visible(shadowedBy)}</span> has the same name and counts first.
        </p>
      )}
      {findings.length > 0 && (
        <ul aria-label="What is wrong" className="space-y-1">
          {findings.map((finding, index) => (
            <Wrong key={index} finding={finding} />
          ))}
        </ul>
      )}
    </li>
  );
}

function Tag({ look = 'plain', children }: { look?: 'plain' | 'bad'; children: string }) {
  return <span className={clsx('shrink-0 rounded-sm px-1.5 text-tiny leading-[18px] font-medium', look === 'bad' ? 'bg-bad-soft text-bad' : 'bg-well text-faint')}>{children}</span>;
}

function Wrong({ finding: { line, column, isError, message } }: { finding: AgentFinding }) {
  const Icon = isError ? CircleX : CircleAlert;
  return (
    <li className="flex gap-2 text-small">
      <Icon aria-hidden className={clsx('mt-0.5 size-3.5 shrink-0', isError ? 'text-bad' : 'text-lamp-text')} />
      <span className="min-w-0 flex-1">
        <span className="sr-only">{isError ? 'Error' : 'Warning'} in </span>
        <span className="figures text-faint">
          line {line}, column {column}
        </span>{' '}
        <span className="foreign">{visible(message)}</span>
      </span>
    </li>
  );
}
