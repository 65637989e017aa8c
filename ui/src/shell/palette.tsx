import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Command } from 'cmdk';
import type { ReactNode } from 'react';
import { Blocks, Bot, ChartNoAxesColumn, GitPullRequest, History, House, Moon, Plus, Search, Settings, Stethoscope } from 'lucide-react';
import { useEffect, useState } from 'react';
import { useLocation } from 'wouter';
import { backend } from '@/backend/backend';
import type { RunSummary } from '@/backend/types';
import { AttemptNote } from '@/components/attempt';
import { Dialog } from '@/components/dialog';
import { Key } from '@/components/key';
import { StateMark } from '@/components/state-mark';
import { currentPreferences, prefer } from '@/hooks/use-settings';
import { repositoryName, titleOf } from '@/text/format';
import { useActions } from './actions';

export function toggleTheme(): void {
  const dark = document.documentElement.dataset['theme'] === 'dark';
  void currentPreferences();
  prefer({ theme: dark ? 'light' : 'dark' });
}

const ITEM = 'flex h-9 items-center gap-2.5 rounded-md px-2.5 data-[selected=true]:bg-hover [&_svg]:size-4 [&_svg]:shrink-0 [&_svg]:text-faint';
const GROUP = '[&_[cmdk-group-heading]]:px-2.5 [&_[cmdk-group-heading]]:pt-2 [&_[cmdk-group-heading]]:pb-1 [&_[cmdk-group-heading]]:text-tiny [&_[cmdk-group-heading]]:font-medium [&_[cmdk-group-heading]]:text-faint';

/** Runs that are listed without being looked for. */
const MOST_RUNS = 60;

/** How long nothing more is typed before the owner is asked, in milliseconds. */
const QUIET_MS = 150;

/** The runs of all time whose task has these words. */
function useFound(words: string): readonly RunSummary[] {
  const [asked, setAsked] = useState('');
  useEffect(() => {
    const timer = setTimeout(() => setAsked(words), QUIET_MS);
    return () => clearTimeout(timer);
  }, [words]);
  const { data } = useQuery({ queryKey: ['runs', 'named', asked], queryFn: ({ signal }) => backend.runs({ text: asked, limit: 20 }, signal), enabled: asked !== '', placeholderData: keepPreviousData });
  return asked === '' || words === '' ? [] : (data?.runs ?? []);
}

/** Everything there is to go to or do, by typing. */
export function Palette({ open, onClose, runs }: { open: boolean; onClose: () => void; runs: readonly RunSummary[] }) {
  const [, go] = useLocation();
  const [search, setSearch] = useState('');
  const actions = useActions();
  useEffect(() => {
    if (open) setSearch('');
  }, [open]);
  const found = useFound(open ? search.trim() : '');
  // Those that are known are there at once; of all others, what fits what is typed.
  const known = runs.slice(0, MOST_RUNS);
  const listed = [...known, ...found.filter((run) => !known.some((each) => each.run === run.run))];
  const act = (what: () => void) => () => {
    onClose();
    what();
  };
  const way = (name: string, href: string, icon: ReactNode, keys: string) => (
    <Command.Item value={`go ${name}`} onSelect={act(() => go(href))} className={ITEM}>
      {icon}
      {name}
      <span className="ml-auto">
        <Key name={keys} />
      </span>
    </Command.Item>
  );
  return (
    <Dialog open={open} onClose={onClose} title="Go to or do" hideTitle className="mt-[12vh] w-[38rem] max-w-[92vw]">
      <Command label="Go to or do" className="flex min-h-0 flex-col">
        <Command.Input
          value={search}
          onValueChange={setSearch}
          autoFocus
          placeholder="Go to a place or a run, or do something"
          className="h-11 w-full border-b border-line bg-transparent px-4 text-large outline-none placeholder:text-faint"
        />
        <Command.List className="max-h-[24rem] overflow-y-auto p-1.5">
          {actions.length > 0 && (
            <Command.Group heading="Here" className={GROUP}>
              {actions.map((action) => (
                <Command.Item key={action.name} value={`here ${action.name}`} onSelect={act(action.act)} className={ITEM}>
                  {action.icon}
                  {action.name}
                  {action.keys !== undefined && (
                    <span className="ml-auto">
                      <Key name={action.keys} />
                    </span>
                  )}
                </Command.Item>
              ))}
            </Command.Group>
          )}
          <Command.Group heading="Go to" className={GROUP}>
            {way('New task', '/new', <Plus aria-hidden />, 'n')}
            {way('Home', '/', <House aria-hidden />, 'g h')}
            {way('Review', '/review', <GitPullRequest aria-hidden />, 'g r')}
            {way('History', '/history', <History aria-hidden />, 'g i')}
            {way('Statistics', '/statistics', <ChartNoAxesColumn aria-hidden />, 'g t')}
            {way('Environments', '/environments', <Blocks aria-hidden />, 'g e')}
            {way('Agents', '/agents', <Bot aria-hidden />, 'g a')}
            {way('Doctor', '/doctor', <Stethoscope aria-hidden />, 'g d')}
            {way('Settings', '/settings', <Settings aria-hidden />, 'g s')}
          </Command.Group>
          <Command.Group heading="Appearance" className={GROUP}>
            <Command.Item value="switch between dark and light" onSelect={act(toggleTheme)} className={ITEM}>
              <Moon aria-hidden />
              Switch between dark and light
              <span className="ml-auto">
                <Key name="t" />
              </span>
            </Command.Item>
          </Command.Group>
          {listed.length > 0 && (
            <Command.Group heading="Runs" className={GROUP}>
              {listed.map((run) => (
                <Command.Item key={run.run} value={`${titleOf(run.task.description)} ${run.run}`} onSelect={act(() => go(run.state.type === 'inReview' ? `/review/${run.run}` : `/runs/${run.run}`))} className={ITEM}>
                  <StateMark state={run.state.type} />
                  <span className="foreign min-w-0 flex-1 truncate">{titleOf(run.task.description)}</span>
                  <AttemptNote run={run} />
                  <span className="shrink-0 text-small text-faint">{repositoryName(run.task.repository)}</span>
                </Command.Item>
              ))}
            </Command.Group>
          )}
          {search.trim() !== '' && (
            <Command.Group heading="History" className={GROUP} forceMount>
              <Command.Item value="search the history" forceMount onSelect={act(() => go(`/history?q=${encodeURIComponent(search.trim())}`))} className={ITEM}>
                <Search aria-hidden />
                <span className="foreign min-w-0 flex-1 truncate">Search everything for “{search.trim()}”</span>
              </Command.Item>
            </Command.Group>
          )}
        </Command.List>
      </Command>
    </Dialog>
  );
}
