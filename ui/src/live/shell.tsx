import '@xterm/xterm/css/xterm.css';
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { sentence } from '@/backend/problem';
import { Button } from '@/components/button';
import { ShellSession, type ShellStatus } from './shell-session';

/** Shells that are open, so that another view and back again is the same shell. */
const sessions = new Map<string, string>();

const NONE: ShellStatus = { state: 'connecting', says: '' };
const never = () => () => undefined;

/** The colours of this window: those of its tokens, read where they apply. */
function coloursOf(element: HTMLElement) {
  const style = getComputedStyle(element);
  const token = (name: string) => style.getPropertyValue(name).trim();
  return { background: token('--well'), foreground: token('--ink'), cursor: token('--lamp'), cursorAccent: token('--lamp-ink'), selectionBackground: token('--line-strong') };
}

/** A shell of one's own in the sandbox, beside the agent. */
export default function Shell({ run }: { run: string }) {
  const place = useRef<HTMLDivElement>(null);
  const [session, setSession] = useState<ShellSession | null>(null);
  const status = useSyncExternalStore(session?.subscribe ?? never, session?.snapshot ?? (() => NONE));
  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const terminal = new Terminal({ fontFamily: 'Geist Mono Variable, monospace', fontSize: 12.5, lineHeight: 1.15, cursorBlink: false, scrollback: 5_000, theme: coloursOf(element) });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    terminal.open(element);
    fit.fit();
    const size = () => ({ columns: terminal.cols, rows: terminal.rows });
    // What the terminal answers to what was asked of it before would be typed into whatever runs in the shell now.
    let rewriting = 0;
    const write = (bytes: Uint8Array, kept: boolean) => {
      if (!kept) return terminal.write(bytes);
      rewriting += 1;
      terminal.write(bytes, () => {
        rewriting -= 1;
      });
    };
    const opened = new ShellSession(run, { write, clear: () => terminal.reset(), size }, sessions.get(run) ?? null, (name) => {
      if (name === null) sessions.delete(run);
      else sessions.set(run, name);
    });
    // Every other key is the shell's, Tab too.
    terminal.attachCustomKeyEventHandler((event) => {
      if (event.key !== 'F6') return true;
      document.getElementById('tab-terminal')?.focus();
      return false;
    });
    terminal.onData((text) => {
      if (rewriting === 0 || !text.startsWith('\x1b')) opened.type(text);
    });
    terminal.onResize(({ cols, rows }) => opened.resize({ columns: cols, rows }));
    const watch = new ResizeObserver(() => fit.fit());
    watch.observe(element);
    terminal.focus();
    setSession(opened);
    return () => {
      watch.disconnect();
      opened.close();
      terminal.dispose();
    };
  }, [run]);
  const over = status.state === 'ended' || status.state === 'refused';
  return (
    <div className="flex h-full min-h-0 flex-col bg-well">
      <div ref={place} role="group" aria-label="Your shell in the sandbox; F6 leads out of it" className="min-h-0 flex-1 overflow-hidden px-3 pt-2" />
      <p role="status" className="foreign flex h-8 shrink-0 items-center gap-3 border-t border-line px-3 text-small text-faint">
        <span className="min-w-0 flex-1 truncate">
          {status.state === 'open' && 'Your own shell, as the agent’s user. The agent goes on; what you do here is not recorded.'}
          {status.state === 'connecting' && 'Connecting to the sandbox'}
          {status.state === 'cut' && 'The connection was cut; asking again'}
          {over && sentence(status.says)}
        </span>
        {over && (
          <Button size="small" onClick={() => session?.again()}>
            New shell
          </Button>
        )}
      </p>
    </div>
  );
}
