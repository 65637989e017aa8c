import { Dialog } from '@/components/dialog';
import { Key } from '@/components/key';
import { SHORTCUTS } from './shortcuts';

export function Help({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} title="Keyboard" className="w-[42rem] max-w-[92vw]">
      {/* It scrolls where the window is low, and by keyboard only what can have the focus does. */}
      <div tabIndex={0} role="group" aria-label="Shortcuts" className="columns-2 gap-8 overflow-y-auto px-5 pt-2 pb-5">
        {SHORTCUTS.map((group) => (
          <section key={group.where} className="mb-4 break-inside-avoid">
            <h3 className="mb-1 text-small font-medium text-faint">{group.where}</h3>
            <dl>
              {group.list.map((shortcut) => (
                <div key={shortcut.keys + shortcut.does} className="flex h-7 items-center justify-between border-b border-line/60">
                  <dt>{shortcut.does}</dt>
                  <dd>
                    <span className="sr-only">{shortcut.keys}</span>
                    <Key name={shortcut.keys} />
                  </dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
