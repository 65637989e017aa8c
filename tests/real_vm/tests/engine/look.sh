#!/bin/bash
# Looks for keys wherever a program in this machine could find one: the environment and the arguments of every process, and every
# file that was written in the last hour. What it looks for is written so that it does not find itself.
pattern='sk-ant-(plante[d]|deco[y])-[-a-z0-9]*|nightshift-[0-9a-f]{32}'
# Something to find in each place: a search that finds nothing shows nothing.
printf 'key=sk-ant-dec%s-in-a-file\n' oy | tee ~/decoy >/dev/shm/decoy
bash -c 'exec -a "$0" sleep 60' "$(printf 'sk-ant-dec%s-by-argument' oy)" &
sleep 0.2
texts() { sudo bash -c "cat /proc/[0-9]*/$1" 2>/dev/null | tr '\0' '\n' | grep -aoE "$pattern" | sort -u; }
texts environ | sed 's/^/environment: /'
texts cmdline | sed 's/^/arguments: /'
kill %1
sudo find / /run /tmp /dev/shm -xdev -type f -mmin -60 -print0 2>/dev/null | sudo xargs -0 grep -laE "$pattern" 2>/dev/null | sort -u | sed 's/^/file: /'
