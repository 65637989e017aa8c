import { useState } from 'react';
import { Button } from '@/components/button';
import { Choices } from '@/components/field';
import { Section } from '@/components/place';
import { inDesktopWindow } from '@/shell/desktop';
import { prefer, usePreferences } from '@/hooks/use-settings';
import { Line, Lines } from './line';

/** What holds in this browser alone, at once. */
export function WindowSettings() {
  const { theme, notifications, splitDiff } = usePreferences();
  const [refused, setRefused] = useState(false);
  const notify = async () => {
    if (notifications) return prefer({ notifications: false });
    const permission = 'Notification' in window ? await Notification.requestPermission() : 'denied';
    setRefused(permission !== 'granted');
    prefer({ notifications: permission === 'granted' });
  };
  return (
    <Section title="This window">
      <Lines>
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
        {inDesktopWindow ? (
          <Line name="Notifications" help="The app shows them: only when something needs you, is ready for review, or failed. The menu of its icon in the tray turns them off." />
        ) : (
          <Line name="Notifications" help={refused ? 'The browser refuses them for this address; its site settings can allow them.' : 'Only when something needs you, is ready for review, or failed.'}>
            <Button onClick={() => void notify()}>{notifications ? 'Turn off' : 'Turn on'}</Button>
          </Line>
        )}
      </Lines>
    </Section>
  );
}
