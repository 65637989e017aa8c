# The one version of the plugin that packer 1.7 and newer may build with; older ones, as Debian's, have it built in and cannot read this.
packer {
  required_plugins {
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = "= 1.1.0"
    }
  }
}
