# What packer 1.7 and newer fetch by "packer init packer/plugins.pkr.hcl"; older ones, as Debian's, have it built in.
packer {
  required_plugins {
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = "= 1.1.0"
    }
  }
}
