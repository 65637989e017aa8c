import { useState } from 'react';
import { Link } from 'wouter';
import { Button } from '@/components/button';
import { Choices } from '@/components/field';
import { Place, Section } from '@/components/place';
import { prefer, usePreferences } from '@/hooks/use-settings';

function Line({ name, help, children }: { name: string; help?: string; children: React.ReactNode }) {
  return (
    <div className="flex items-center gap-6 px-4 py-3">
      <div className="min-w-0 flex-1">
        <p className="font-medium">{name}</p>
        {help !== undefined && <p className="text-small text-faint">{help}</p>}
      </div>
      {children}
    </div>
  );
}

export function SettingsPlace() {
  const { theme, notifications, splitDiff } = usePreferences();
  const [refused, setRefused] = useState(false);
  const notify = async () => {
    if (notifications) return prefer({ notifications: false });
    const permission = 'Notification' in window ? await Notification.requestPermission() : 'denied';
    setRefused(permission !== 'granted');
    prefer({ notifications: permission === 'granted' });
  };
  return (
    <Place title="Settings" name="Settings">
      <div className="mx-auto max-w-[820px] space-y-7 px-5 pt-5 pb-10">
        <Section title="This window">
          <div className="divide-y divide-line rounded-lg border border-line bg-raised">
            <Line name="Appearance">
              <Choices
                label="Appearance"
                value={theme}
                onChange={(value) => prefer({ theme: value })}
                options={[
                  { value: 'system', name: 'As the system' },
                  { value: 'dark', name: 'Dark' },
                  { value: 'light', name: 'Light' },
                ]}
              />
            </Line>
            <Line name="Diffs">
              <Choices
                label="Diffs"
                value={splitDiff ? 'split' : 'unified'}
                onChange={(value) => prefer({ splitDiff: value === 'split' })}
                options={[
                  { value: 'unified', name: 'Unified' },
                  { value: 'split', name: 'Side by side' },
                ]}
              />
            </Line>
            <Line name="Notifications" help={refused ? 'The browser refuses them for this address; its site settings can allow them.' : 'Only when something needs you, is ready for review, or failed.'}>
              <Button onClick={() => void notify()}>{notifications ? 'Turn off' : 'Turn on'}</Button>
            </Line>
          </div>
        </Section>
        <Section title="This machine">
          <div className="divide-y divide-line rounded-lg border border-line bg-raised">
            <Line name="Health" help="Virtualisation, disk, memory, programs, the model's key.">
              <Link href="/doctor" className="rounded-md border border-line-strong px-2.5 py-1 hover:bg-hover">
                Doctor
              </Link>
            </Line>
          </div>
        </Section>
      </div>
    </Place>
  );
}
