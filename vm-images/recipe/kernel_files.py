"""Takes Debian's kernel package apart: modules, vmlinux, initramfs. Runs inside the guest's tree, while it is built.

    kernel_files.py modules FROM TO NAME...         copies modules and what they depend on, uncompressed
    kernel_files.py vmlinux BZIMAGE TO              unpacks the kernel proper, which QEMU starts without a decompressor
    kernel_files.py initramfs MODULES INIT TO NAME...
"""

import lzma
import struct
import subprocess
import sys
from pathlib import Path

BUSYBOX = Path("/usr/bin/busybox")
APPLETS = ["sh", "chmod", "cp", "insmod", "mkdir", "mount", "poweroff", "sleep", "switch_root"]


class ModuleTree:
    """The modules of one kernel, as depmod described them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.depends: dict[str, list[str]] = {}
        for line in (folder / "modules.dep").read_text().splitlines():
            path, _, depends = line.partition(":")
            self.depends[path] = depends.split()
        self.path_of = {self._name(path): path for path in self.depends}
        self.builtin = {self._name(path) for path in (folder / "modules.builtin").read_text().splitlines()}

    @staticmethod
    def _name(path: str) -> str:
        return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")

    def closure(self, names: list[str]) -> list[str]:
        """Paths of the named modules and of all they depend on, in the order in which they load."""
        ordered: list[str] = []
        for name in names:
            if name in self.builtin:
                continue
            if name not in self.path_of:
                print(f"note: this kernel has no module {name}", file=sys.stderr)
                continue
            path = self.path_of[name]
            for needed in [*reversed(self.depends[path]), path]:
                if needed not in ordered:
                    ordered.append(needed)
        return ordered

    def read(self, path: str) -> bytes:
        data = (self.folder / path).read_bytes()
        return lzma.decompress(data) if path.endswith(".xz") else data


def copy_modules(source: Path, target: Path, names: list[str]) -> None:
    tree = ModuleTree(source)
    for path in tree.closure(names):
        copy = target / path.removesuffix(".xz")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(tree.read(path))
    for index in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        (target / index).write_bytes((source / index).read_bytes())


def unpack_vmlinux(image: Path, target: Path) -> None:
    # Offsets: "The Linux/x86 Boot Protocol", in the kernel's Documentation/arch/x86/boot.rst.
    data = image.read_bytes()
    if data[0x202:0x206] != b"HdrS":
        raise SystemExit(f"{image} is not a bzImage")
    setup_sectors = data[0x1F1] or 4
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = data[start : start + length]
    decompressors = {
        b"\x28\xb5\x2f\xfd": ["zstd", "--decompress", "--stdout"],
        b"\xfd7zXZ": ["xz", "--decompress", "--stdout", "--single-stream"],
        b"\x02\x21\x4c\x18": ["lz4", "-d", "-c"],
        b"\x1f\x8b": ["gzip", "--decompress", "--stdout"],
    }
    for magic, command in decompressors.items():
        if payload.startswith(magic):
            break
    else:
        raise SystemExit(f"{image}: unknown compression, starting with {payload[:6].hex()}")
    # The last four bytes are the unpacked size, which no decompressor expects; gzip's own format ends with it.
    packed = payload if magic == b"\x1f\x8b" else payload[:-4]
    vmlinux = subprocess.run(command, input=packed, stdout=subprocess.PIPE, check=True).stdout
    if not vmlinux.startswith(b"\x7fELF"):
        raise SystemExit(f"{image}: what it holds is not an ELF file")
    target.write_bytes(vmlinux)


class Archive:
    """An initramfs in cpio's "newc" format (the kernel's driver-api/early-userspace/buffer-format.rst)."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.inode = 0

    def add(self, name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self.inode += 1
        path = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(path), 0)
        self.data += b"070701" + b"".join(b"%08x" % field for field in fields) + path
        self.pad()
        self.data += content
        self.pad()

    def pad(self) -> None:
        self.data += bytes(-len(self.data) % 4)

    def finish(self) -> bytes:
        self.add("TRAILER!!!", 0)
        # The kernel wants a following archive to start on a multiple of four; a page is kinder to copying.
        self.data += bytes(-len(self.data) % 4096)
        return bytes(self.data)


def write_initramfs(modules: Path, init: Path, target: Path, names: list[str]) -> None:
    tree = ModuleTree(modules)
    archive = Archive()
    for folder in ("bin", "dev", "lib", "newroot", "proc", "sys"):
        archive.add(folder, 0o040755)
    archive.add("dev/console", 0o020600, device=(5, 1))
    archive.add("dev/null", 0o020666, device=(1, 3))
    archive.add("bin/busybox", 0o100755, BUSYBOX.read_bytes())
    for applet in APPLETS:
        archive.add(f"bin/{applet}", 0o120777, b"busybox")
    order = []
    for path in tree.closure(names):
        file_name = path.rpartition("/")[2].removesuffix(".xz")
        order.append(file_name)
        archive.add(f"lib/{file_name}", 0o100644, tree.read(path))
    archive.add("lib/order", 0o100644, "".join(f"{name}\n" for name in order).encode())
    archive.add("init", 0o100755, init.read_bytes())
    # Not compressed: unpacking costs more under emulation than reading.
    target.write_bytes(archive.finish())


def main(arguments: list[str]) -> None:
    match arguments:
        case ["modules", source, target, *names]:
            copy_modules(Path(source), Path(target), names)
        case ["vmlinux", image, target]:
            unpack_vmlinux(Path(image), Path(target))
        case ["initramfs", modules, init, target, *names]:
            write_initramfs(Path(modules), Path(init), Path(target), names)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
