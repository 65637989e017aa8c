//! Users of the machine, and acting as one of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nightshift_channel::wire::service::PROXY_PORT;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
    /// The numbers of the other groups the user is in.
    pub groups: Vec<u32>,
    /// The home folder.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
}

impl Account {
    /// Looks a user up in `etc/passwd` and `etc/group` below `root` (passwd(5), group(5)). A static program cannot ask
    /// the C library, which would load modules.
    pub fn find(root: &Path, name: &str) -> io::Result<Option<Self>> {
        let users = fs::read_to_string(root.join("etc/passwd"))?;
        let groups = fs::read_to_string(root.join("etc/group"))?;
        Ok(users
            .lines()
            .find_map(|line| Self::from_line(line, name))
            .map(|account| account.with_groups(&groups)))
    }

    /// The user every machine has.
    pub fn root() -> Self {
        Self {
            name: "root".to_owned(),
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            home: PathBuf::from("/root"),
            shell: PathBuf::from("/bin/sh"),
        }
    }

    /// The variables the user's programs have by default.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let home = self.home.to_string_lossy().into_owned();
        let shell = self.shell.to_string_lossy().into_owned();
        let runtime = format!("/run/user/{}", self.uid);
        let mut variables = vec![
            ("HOME", home),
            ("USER", self.name.clone()),
            ("LOGNAME", self.name.clone()),
            ("SHELL", shell),
            ("LANG", "C.UTF-8".to_owned()),
        ];
        if self.uid == 0 {
            variables
                .push(("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()));
        } else {
            variables.push(("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games".to_owned()));
            variables.push(("DISPLAY", ":0".to_owned()));
            variables.push(("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={runtime}/bus")));
            variables.push(("XDG_RUNTIME_DIR", runtime));
        }
        let own = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(proxy_variables()).collect()
    }

    /// Does `action` with the rights of this user, on this thread alone.
    ///
    /// Only the effective user changes, so that the user cannot send the program signals meanwhile, and it can change back.
    pub(crate) fn act<T>(&self, action: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if self.is_current() {
            return action();
        }
        let acting = Acting { uid: rustix::process::geteuid(), gid: rustix::process::getegid() };
        set_thread_groups(&self.group_ids())?;
        set_thread_res_gid(None, Gid::from_raw(self.gid), None)?;
        set_thread_res_uid(None, Uid::from_raw(self.uid), None)?;
        let result = action();
        drop(acting);
        result
    }

    pub(crate) fn is_current(&self) -> bool {
        rustix::process::geteuid().as_raw() == self.uid
    }

    pub(crate) fn group_ids(&self) -> Vec<Gid> {
        let mut groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        groups.push(Gid::from_raw(self.gid));
        groups
    }

    fn from_line(line: &str, wanted: &str) -> Option<Self> {
        let [name, _, uid, gid, _, home, shell] = line.split(':').collect::<Vec<_>>().try_into().ok()?;
        (name == wanted).then_some(())?;
        Some(Self {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            groups: Vec::new(),
            home: PathBuf::from(home),
            shell: PathBuf::from(if shell.is_empty() { "/bin/sh" } else { shell }),
        })
    }

    fn with_groups(mut self, groups: &str) -> Self {
        self.groups = groups
            .lines()
            .filter_map(|line| {
                let [_, _, gid, members] = line.split(':').collect::<Vec<_>>().try_into().ok()?;
                let is_member = members.split(',').any(|member| member == self.name);
                gid.parse().ok().filter(|gid| is_member && *gid != self.gid)
            })
            .collect();
        self
    }
}

/// How programs learn of the proxy, in both cases: some read only the one, some only the other.
fn proxy_variables() -> impl Iterator<Item = (String, String)> {
    let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
    let values = [
        ("http_proxy", proxy.clone()),
        ("https_proxy", proxy.clone()),
        ("all_proxy", proxy),
        ("no_proxy", "localhost,127.0.0.1,::1".to_owned()),
    ];
    values
        .into_iter()
        .flat_map(|(name, value)| [(name.to_uppercase(), value.clone()), (name.to_owned(), value)])
}

/// Gives the thread its own rights back.
struct Acting {
    uid: Uid,
    gid: Gid,
}

impl Drop for Acting {
    fn drop(&mut self) {
        // A thread that cannot get its rights back goes on with fewer, and says so by the refusals it meets.
        let _ = set_thread_res_uid(None, self.uid, None);
        let _ = set_thread_res_gid(None, self.gid, None);
        let _ = set_thread_groups(&[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_with_shell_home_and_groups() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(
            root.path().join("etc/passwd"),
            "root:x:0:0::/root:/bin/bash\nagent:x:1000:1000:A:/home/agent:\n",
        )
        .unwrap();
        fs::write(
            root.path().join("etc/group"),
            "video:x:44:other,agent\nagent:x:1000:agent\nsudo:x:27:agentless\n",
        )
        .unwrap();
        let agent = Account {
            name: "agent".to_owned(),
            uid: 1000,
            gid: 1000,
            groups: vec![44],
            home: PathBuf::from("/home/agent"),
            shell: PathBuf::from("/bin/sh"),
        };
        assert_eq!(Account::find(root.path(), "agent").unwrap(), Some(agent));
        assert_eq!(Account::find(root.path(), "nobody").unwrap(), None);
    }

    #[test]
    fn only_a_user_with_a_desktop_is_told_of_the_display() {
        let agent = Account { uid: 1000, ..Account::root() };
        let variable = |account: &Account, name: &str| {
            account.environment().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
        };
        assert_eq!(variable(&agent, "DISPLAY").as_deref(), Some(":0"));
        assert_eq!(
            variable(&agent, "DBUS_SESSION_BUS_ADDRESS").as_deref(),
            Some("unix:path=/run/user/1000/bus")
        );
        assert_eq!(variable(&Account::root(), "DISPLAY"), None);
        let proxy = Some("http://127.0.0.1:3128");
        for account in [&agent, &Account::root()] {
            assert_eq!(variable(account, "https_proxy").as_deref(), proxy);
            assert_eq!(variable(account, "HTTP_PROXY").as_deref(), proxy);
        }
    }
}
