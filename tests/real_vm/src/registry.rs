//! Package registries, a git server and web pages of this machine, as small as their clients allow.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::{git, root};

/// The name that sandboxes know it by.
pub const HOST: &str = "registry.test";

pub struct Registry {
    pub http: u16,
    pub https: u16,
    pub folder: PathBuf,
    requests: Arc<Mutex<Vec<Value>>>,
    process: Child,
    _pipe: ChildStdin,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

impl Registry {
    /// Starts it with a package `greet` in every registry.
    pub fn start(folder: &Path) -> Self {
        let files = folder.join("files");
        std::fs::create_dir_all(&files).unwrap();
        certificates(folder);
        let mut process = Command::new("python3")
            .arg(root().join("tests/real_vm/registry.py"))
            .args([&files, &folder.join("host.crt"), &folder.join("host.key")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pipe = process.stdin.take().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ports: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&requests);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                heard.lock().unwrap().extend(serde_json::from_str::<Value>(&line));
            }
        });
        let port = |name: &str| u16::try_from(ports[name].as_u64().unwrap()).unwrap();
        let registry =
            Self { http: port("http"), https: port("https"), folder: files, requests, process, _pipe: pipe };
        std::fs::copy(folder.join("authority.crt"), registry.folder.join("authority.crt")).unwrap();
        for publish in [Self::npm, Self::pip, Self::cargo, Self::apt, Self::git, Self::page] {
            publish(&registry);
        }
        registry
    }

    /// The owner's configuration that lets sandboxes reach it while they work, and a few names that lead elsewhere.
    pub fn configuration(&self) -> String {
        let Self { http, https, .. } = self;
        format!(
            "[egress]\nallow = ['{HOST}:{http}', '{HOST}:{https}', 'loopback.test:{http}', 'private.test', 'metadata.test', 'mapped.test', 'rebound.test:{http}']\n\
             allow_private = ['{HOST}:{http}', '{HOST}:{https}', 'metadata.test:80']\nupstream = ''\n\
             [egress.addresses]\n'{HOST}' = '127.0.0.1'\n'loopback.test' = '127.0.0.1'\n'private.test' = '10.0.0.1'\n\
             'metadata.test' = '169.254.169.254'\n'mapped.test' = '::ffff:127.0.0.1'\n"
        )
    }

    /// Makes the name `rebound.test` change its address for whatever has these in its environment. It is public when it
    /// is looked up first and then this machine.
    pub fn rebinding(folder: &Path) -> Vec<(&'static str, String)> {
        let (source, library) = (root().join("tests/real_vm/rebinding.c"), folder.join("rebinding.so"));
        let mut compiler = Command::new("cc");
        let made = compiler.args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").status();
        assert!(made.unwrap().success());
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        vec![("LD_PRELOAD", text(library)), ("REBOUND_LOOKUPS", text(folder.join("lookups")))]
    }

    /// The paths that were asked for.
    pub fn paths(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|request| request["path"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn npm(&self) {
        let package = json!({"name": "greet", "version": "1.0.0", "main": "index.js"});
        self.write("npm-source/package/package.json", package.to_string());
        self.write("npm-source/package/index.js", "module.exports = 'hello from npm';\n");
        self.write("npm/tarballs/.keep", "");
        let tarball = self.folder.join("npm/tarballs/greet-1.0.0.tgz");
        run(Command::new("tar")
            .arg("-czf")
            .arg(tarball)
            .arg("-C")
            .arg(self.folder.join("npm-source"))
            .arg("package"));
        let url = format!("https://{HOST}:{}/npm/tarballs/greet-1.0.0.tgz", self.https);
        let version =
            json!({"name": "greet", "version": "1.0.0", "main": "index.js", "dist": {"tarball": url}});
        let metadata =
            json!({"name": "greet", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}});
        self.write("npm/greet", metadata.to_string());
    }

    fn pip(&self) {
        let wheel = "pip/files/greet-1.0-py3-none-any.whl";
        self.write("pip/files/.keep", "");
        let make = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as wheel:\n\
            \x20   wheel.writestr('greet.py', 'print(\"hello from pip\")\\n')\n\
            \x20   wheel.writestr('greet-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: greet\\nVersion: 1.0\\n')\n\
            \x20   wheel.writestr('greet-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
            \x20   wheel.writestr('greet-1.0.dist-info/RECORD', '')\n";
        run(Command::new("python3").args(["-c", make]).arg(self.folder.join(wheel)));
        self.write(
            "pip/simple/greet/index.html",
            "<a href=\"/pip/files/greet-1.0-py3-none-any.whl\">greet</a>",
        );
    }

    fn cargo(&self) {
        self.write(
            "cargo-source/greet-1.0.0/Cargo.toml",
            "[package]\nname = \"greet\"\nversion = \"1.0.0\"\nedition = \"2021\"\n",
        );
        self.write("cargo-source/greet-1.0.0/src/lib.rs", "//! hello from cargo\n");
        let packed = self.folder.join("greet.crate");
        run(Command::new("tar")
            .arg("-czf")
            .arg(&packed)
            .arg("-C")
            .arg(self.folder.join("cargo-source"))
            .arg("greet-1.0.0"));
        let sum = crate::sha256(&std::fs::read(&packed).unwrap());
        let line = json!({"name": "greet", "vers": "1.0.0", "deps": [], "cksum": sum, "features": {}, "yanked": false});
        self.write("index/gr/ee/greet", format!("{line}\n"));
        self.write(
            "index/config.json",
            json!({"dl": format!("https://{HOST}:{}/{{crate}}.crate", self.https)}).to_string(),
        );
        // The image has no cargo, so the one of this machine comes along.
        let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
        let sysroot = String::from_utf8(sysroot.stdout).unwrap();
        std::fs::copy(Path::new(sysroot.trim()).join("bin/cargo"), self.folder.join("cargo")).unwrap();
    }

    fn apt(&self) {
        self.write("apt-source/DEBIAN/control", "Package: greet\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: greets\n");
        self.write("apt-source/usr/share/greet/words", "hello from apt\n");
        self.write("apt/.keep", "");
        let package = self.folder.join("apt/greet.deb");
        run(Command::new("dpkg-deb")
            .args(["--root-owner-group", "-b"])
            .arg(self.folder.join("apt-source"))
            .arg(&package));
        let bytes = std::fs::read(&package).unwrap();
        let index = format!(
            "Package: greet\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@example.org>\nFilename: ./greet.deb\n\
             Size: {}\nSHA256: {}\nDescription: greets\n",
            bytes.len(),
            crate::sha256(&bytes)
        );
        self.write("apt/Packages", index);
    }

    fn git(&self) {
        let source = self.folder.join("git-source");
        std::fs::create_dir_all(&source).unwrap();
        std::fs::write(source.join("words"), "hello from git\n").unwrap();
        git(&source, &["init", "-q", "-b", "main"]);
        git(&source, &["add", "-A"]);
        git(&source, &["commit", "-q", "-m", "Words"]);
        let bare = self.folder.join("greet.git");
        git(&self.folder, &["clone", "-q", "--bare", source.to_str().unwrap(), bare.to_str().unwrap()]);
        git(&bare, &["update-server-info"]);
    }

    fn page(&self) {
        self.write("page.html", "<!doctype html><title>hello from a page</title><h1>Hello</h1>");
    }
}

/// An authority of the test's own, and the host's certificate by it.
fn certificates(folder: &Path) {
    let openssl = |arguments: &[&str]| run(Command::new("openssl").current_dir(folder).args(arguments));
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority = [
        "-x509",
        "-days",
        "30",
        "-subj",
        "/CN=Authority of a test",
        "-keyout",
        "authority.key",
        "-out",
        "authority.crt",
    ];
    openssl(&[&["req"], key.as_slice(), &authority].concat());
    let request = [
        "-subj",
        "/CN=registry.test",
        "-addext",
        "subjectAltName=DNS:registry.test",
        "-keyout",
        "host.key",
        "-out",
        "host.csr",
    ];
    openssl(&[&["req"], key.as_slice(), &request].concat());
    openssl(&[
        "x509",
        "-req",
        "-in",
        "host.csr",
        "-CA",
        "authority.crt",
        "-CAkey",
        "authority.key",
        "-CAcreateserial",
        "-days",
        "30",
        "-copy_extensions",
        "copy",
        "-out",
        "host.crt",
    ]);
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
