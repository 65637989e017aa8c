//! What only the kernel can change, behind a trait so that tests change nothing of the machine they run on.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;

use rustix::time::{ClockId, Timespec, clock_settime};

/// Changes the machine as a whole.
pub trait Kernel: Send + Sync + 'static {
    /// Sets the host name.
    fn set_host_name(&self, name: &str) -> io::Result<()>;

    /// Mixes bytes nobody can predict into the kernel's pool, and makes it use them at once.
    fn add_entropy(&self, entropy: &[u8]) -> io::Result<()>;

    /// Sets the time, in nanoseconds since 1970 in UTC.
    fn set_clock(&self, unix_nanoseconds: i64) -> io::Result<()>;
}

/// The kernel of this machine.
#[derive(Debug, Clone, Copy)]
pub struct LinuxKernel;

impl Kernel for LinuxKernel {
    fn set_host_name(&self, name: &str) -> io::Result<()> {
        Ok(rustix::system::sethostname(name.as_bytes())?)
    }

    fn add_entropy(&self, entropy: &[u8]) -> io::Result<()> {
        // random(4): `struct rand_pool_info` is the entropy in bits, the length in bytes, and the bytes.
        let length = u32::try_from(entropy.len()).map_err(io::Error::other)?;
        let mut pool_info = vec![length.saturating_mul(8), length];
        pool_info.extend(entropy.chunks(4).map(|chunk| {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            u32::from_ne_bytes(word)
        }));
        let pool = OpenOptions::new().write(true).open("/dev/urandom")?;
        #[expect(unsafe_code, reason = "there is no safe call for these two requests")]
        // SAFETY: the descriptor is open; RNDADDENTROPY reads the header and as many bytes as its second word says,
        // which the vector holds; RNDRESEEDCRNG takes no argument.
        let results = unsafe {
            [
                libc::ioctl(pool.as_raw_fd(), RNDADDENTROPY, pool_info.as_ptr()),
                libc::ioctl(pool.as_raw_fd(), RNDRESEEDCRNG),
            ]
        };
        if results == [0, 0] { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn set_clock(&self, unix_nanoseconds: i64) -> io::Result<()> {
        const SECOND: i64 = 1_000_000_000;
        let time = Timespec {
            tv_sec: unix_nanoseconds.div_euclid(SECOND),
            tv_nsec: unix_nanoseconds.rem_euclid(SECOND),
        };
        Ok(clock_settime(ClockId::Realtime, time)?)
    }
}

/// `_IOW('R', 0x03, int[2])` of `linux/random.h`.
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;

/// `_IO('R', 0x07)` of `linux/random.h`.
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;
