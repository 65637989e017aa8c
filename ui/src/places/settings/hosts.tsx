import { Plus, X } from 'lucide-react';
import type { HostSetting } from '@/backend/types';
import { Button } from '@/components/button';
import { TextInput } from '@/components/field';

/** What was typed as a number of MiB; nothing means all that is free. */
function memoryOf(typed: string): number | null {
  const digits = typed.replace(/\D/g, '').slice(0, 9);
  return digits === '' ? null : Number(digits);
}

/** The libvirt hosts that sandboxes are on. */
export function Hosts({ hosts, onChange, usable }: { hosts: readonly HostSetting[]; onChange: (hosts: readonly HostSetting[]) => void; usable: boolean }) {
  const put = (index: number, change: Partial<HostSetting>) => onChange(hosts.map((host, at) => (at === index ? { ...host, ...change } : host)));
  return (
    <div className="space-y-2 px-4 py-3">
      <div className="flex items-center gap-6">
        <div className="min-w-0 flex-1">
          <p className="font-medium">Hosts</p>
          <p className="text-small text-faint">{hosts.length > 0 ? 'Sandboxes are made on these, through libvirt.' : usable ? 'None: sandboxes are made on this machine.' : 'Sandboxes are made on this machine; this program is built without libvirt.'}</p>
        </div>
        {usable && (
          <Button size="small" icon={<Plus aria-hidden className="size-3.5" />} onClick={() => onChange([...hosts, { name: '', uri: '', pool: 'default', memoryMib: null }])}>
            Add a host
          </Button>
        )}
      </div>
      {hosts.map((host, index) => (
        <div key={index} className="flex flex-wrap gap-2">
          <TextInput aria-label={`Name of host ${index + 1}`} placeholder="attic" className="w-32!" value={host.name} onChange={(event) => put(index, { name: event.target.value })} />
          <TextInput aria-label={`Address of host ${index + 1}`} mono placeholder="qemu+ssh://ada@attic/system" className="min-w-56 flex-1" value={host.uri} onChange={(event) => put(index, { uri: event.target.value })} />
          <TextInput aria-label={`Storage pool of host ${index + 1}`} placeholder="default" className="w-28!" value={host.pool} onChange={(event) => put(index, { pool: event.target.value })} />
          <TextInput aria-label={`Memory for sandboxes on host ${index + 1}, in MiB`} inputMode="numeric" placeholder="all MiB" className="figures w-24! text-right" value={host.memoryMib ?? ''} onChange={(event) => put(index, { memoryMib: memoryOf(event.target.value) })} />
          <Button look="quiet" className="size-8!" aria-label={`Remove host ${index + 1}`} icon={<X aria-hidden className="size-4" />} onClick={() => onChange(hosts.filter((_, at) => at !== index))} />
        </div>
      ))}
    </div>
  );
}
