# What a sandbox does that wants to harm others, as root, each in its time, so that one clone's life is enough.

# It fills its disk to the last block (without writing to the host's) and empties it again.
for size in 8G 1G 128M 16M 2M 256K 32K 4K; do
    n=0; while fallocate -l $size /full-$size-$n 2>/dev/null; do n=$((n+1)); done
done
sleep 15; rm -f /full-*
# It puts garbage, frames' beginnings among it, into the channel's port as fast as it goes, while processes multiply.
head -c 8M /dev/urandom >/dev/shm/noise
systemctl stop nightshift-guest
timeout 45 sh -c 'while :; do cat /dev/shm/noise >/dev/virtio-ports/nightshift.channel; done' &
timeout 45 runuser -u agent -- bash -c 'ulimit -u 400; bomb() { bomb | bomb & }; bomb' &
# It leaves the channel closed.
wait; pkill -KILL -u agent
