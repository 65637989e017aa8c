//! A QEMU without an operating system: a boot sector echoes keys to a debug port and changes the video mode.

use std::io::{BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};

/// Prints `R` on the debug port, then for each key its character and scan code. F1 sets 800x600 with 32 bits and
/// paints 16384 pixels orange; F2 sets text mode; any other key is echoed on the screen.
const BOOT_SECTOR: &[&[u8]] = &[
    &[0x31, 0xc0],                               // start: xor ax, ax
    &[0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c], // mov ds, ax; mov ss, ax; mov sp, 0x7c00
    &[0xb8, 0x03, 0x00, 0xcd, 0x10],             // mov ax, 3; int 0x10: text mode
    &[0xb0, b'R', 0xe6, 0xe9],                   // mov al, 'R'; out 0xe9, al
    &[0xb4, 0x10, 0xcd, 0x16],                   // next: mov ah, 0x10; int 0x16: wait for a key
    &[0xe6, 0xe9, 0x86, 0xc4, 0xe6, 0xe9],       // out 0xe9, al; xchg al, ah; out 0xe9, al
    &[0x3c, 0x3b, 0x74, 0x16],                   // cmp al, F1; je graphics
    &[0x3c, 0x3c, 0x74, 0x0b],                   // cmp al, F2; je text
    &[0x88, 0xe0, 0xb4, 0x0e],                   // mov al, ah; mov ah, 0x0e
    &[0xbb, 0x07, 0x00, 0xcd, 0x10],             // mov bx, 7; int 0x10: print
    &[0xeb, 0xe3],                               // jmp next
    &[0xb8, 0x03, 0x00, 0xcd, 0x10],             // text: mov ax, 3; int 0x10
    &[0xeb, 0xdc],                               // jmp next
    &[0xb8, 0x02, 0x4f, 0xbb, 0x43, 0x01],       // graphics: mov ax, 0x4f02; mov bx, 0x143
    &[0xcd, 0x10],                               // int 0x10: 800x600, 32 bits a pixel
    &[0xb8, 0x00, 0xa0, 0x8e, 0xc0],             // mov ax, 0xa000; mov es, ax
    &[0x31, 0xff, 0xfc],                         // xor di, di; cld
    &[0x66, 0xb8, 0x00, 0x84, 0xff, 0x00],       // mov eax, 0x00ff8400
    &[0xb9, 0x00, 0x40, 0x66, 0xf3, 0xab],       // mov cx, 0x4000; rep stosd
    &[0xeb, 0xbe],                               // jmp next
];

/// The VNC server's socket, in the machine's folder.
const VNC: &str = "vnc.sock";

pub(crate) struct Qemu {
    process: Child,
    qmp: BufReader<UnixStream>,
    keys: ChildStdout,
    _folder: tempfile::TempDir,
}

impl Qemu {
    /// Starts the machine and returns when the boot sector runs.
    pub(crate) async fn boot(graphics: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = BOOT_SECTOR.concat();
        assert!(disk.len() <= 510, "a boot sector has 512 bytes");
        disk.resize(510, 0);
        disk.extend([0x55, 0xaa]);
        disk.resize(1 << 20, 0);
        let image = folder.path().join("disk");
        std::fs::write(&image, disk).unwrap();
        let socket = folder.path().join("qmp");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut process = Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-machine", "pc,accel=tcg", "-m", "64", "-display", "dbus,p2p=yes"])
            .args(["-device", graphics, "-device", "piix3-usb-uhci", "-device", "usb-tablet"])
            .args(["-drive", &format!("file={},format=raw,if=ide", image.display())])
            .args(["-vnc", &format!("unix:{}", folder.path().join(VNC).display())])
            .args(["-chardev", &format!("socket,id=qmp,path={}", socket.display())])
            .args(["-mon", "chardev=qmp,mode=control", "-debugcon", "stdio"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("qemu-system-x86_64 is installed");
        // QEMU connects as soon as it has read its arguments.
        let (qmp, _) = tokio::task::spawn_blocking(move || listener.accept()).await.unwrap().unwrap();
        let keys = process.stdout.take().unwrap();
        let mut machine = Self { process, qmp: BufReader::new(qmp), keys, _folder: folder };
        machine.answer();
        machine.command(json!({"execute": "qmp_capabilities"}), None);
        machine.use_tablet();
        assert_eq!(machine.debug(1).await, b"R");
        machine
    }

    /// Hands QEMU one end of a socket pair as a display client and returns the other.
    pub(crate) fn display(&mut self) -> OwnedFd {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let name = json!({"fdname": "display"});
        self.command(json!({"execute": "getfd", "arguments": name}), Some(theirs.into()));
        let client = json!({"protocol": "@dbus-display", "fdname": "display", "skipauth": true});
        self.command(json!({"execute": "add_client", "arguments": client}), None);
        ours.into()
    }

    /// Connects to its VNC server.
    #[cfg(feature = "vnc")]
    pub(crate) async fn vnc(&self) -> tokio::net::UnixStream {
        tokio::net::UnixStream::connect(self._folder.path().join(VNC)).await.unwrap()
    }

    /// Reads what the boot sector said of `count` keys: character and scan code each.
    pub(crate) async fn keys(&mut self, count: usize) -> Vec<(u8, u8)> {
        self.debug(2 * count).await.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
    }

    /// Ends the machine at once.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Makes the tablet the pointing device, as a guest's driver would by using it.
    fn use_tablet(&mut self) {
        let mice = self.command(json!({"execute": "query-mice"}), None);
        let tablet = mice.as_array().unwrap().iter().find(|mouse| mouse["absolute"] == true).unwrap();
        let line = json!({"command-line": format!("mouse_set {}", tablet["index"])});
        self.command(json!({"execute": "human-monitor-command", "arguments": line}), None);
    }

    async fn debug(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = tokio::time::timeout(Duration::from_secs(30), self.keys.read_exact(&mut bytes));
        read.await.expect("the machine has seen fewer keys").unwrap();
        bytes
    }

    fn command(&mut self, command: Value, fd: Option<OwnedFd>) -> Value {
        let line = format!("{command}\n");
        match fd {
            None => self.qmp.get_mut().write_all(line.as_bytes()).unwrap(),
            Some(fd) => {
                let fds = [fd.as_fd()];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
                let bytes = [IoSlice::new(line.as_bytes())];
                let sent = sendmsg(self.qmp.get_ref(), &bytes, &mut control, SendFlags::empty()).unwrap();
                assert_eq!(sent, line.len());
            }
        }
        let answer = self.answer();
        answer.get("return").unwrap_or_else(|| panic!("{command}: {answer}")).clone()
    }

    /// The next line that is no event.
    fn answer(&mut self) -> Value {
        loop {
            let mut line = String::new();
            self.qmp.read_line(&mut line).unwrap();
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer.get("event").is_none() {
                return answer;
            }
        }
    }
}
