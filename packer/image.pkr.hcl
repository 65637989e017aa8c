# Builds the guest image in a machine made of a distribution's cloud image, for hosts without mmdebstrap.
#
# It is started by packer/build, which makes the key and the seed. The image is not made of the cloud image: that only
# runs vm-images/build, so that what comes out is the same, bit for bit, as where mmdebstrap is installed.

variable "cloud_image" {
  description = "Address or path of a Debian 13 cloud image (qcow2, generic or genericcloud, amd64)."
  type        = string
}

variable "cloud_image_checksum" {
  description = "Its checksum, as 'sha512:...' or 'file:' and the address of the distribution's list."
  type        = string
}

variable "vm_images" {
  description = "The folder vm-images of the checkout."
  type        = string
}

variable "inside" {
  description = "The script that is run in the machine."
  type        = string
}

variable "seed" {
  description = "The folder with user-data and meta-data for cloud-init."
  type        = string
}

variable "key" {
  description = "The private key that the seed lets in."
  type        = string
}

variable "work" {
  description = "A folder that does not exist yet, for the machine's disk."
  type        = string
}

variable "output" {
  description = "The archive with the finished image."
  type        = string
}

variable "accelerator" {
  description = "kvm, or tcg where there is none: several times slower."
  type        = string
  default     = "kvm"
}

variable "mirror" {
  description = "The Debian mirror to install from; the distribution's own if empty."
  type        = string
  default     = ""
}

source "qemu" "builder" {
  iso_url          = var.cloud_image
  iso_checksum     = var.cloud_image_checksum
  disk_image       = true
  disk_size        = "20G"
  format           = "qcow2"
  accelerator      = var.accelerator
  headless         = true
  output_directory = var.work
  vm_name          = "builder.qcow2"
  http_directory   = var.seed

  # Forwarded from the loopback interface only: packer's own forwarding would be open to the network.
  qemuargs = [
    ["-m", "3072"],
    ["-smp", "2"],
    ["-smbios", "type=1,serial=ds=nocloud-net;s=http://{{ .HTTPIP }}:{{ .HTTPPort }}/"],
    ["-netdev", "user,id=user.0,hostfwd=tcp:127.0.0.1:{{ .SSHHostPort }}-:22"],
    ["-device", "virtio-net-pci,netdev=user.0"],
    ["-device", "virtio-rng-pci"],
  ]

  communicator         = "ssh"
  ssh_username         = "builder"
  ssh_private_key_file = var.key
  ssh_timeout          = "20m"
  shutdown_command     = "sudo systemctl poweroff"
}

build {
  sources = ["source.qemu.builder"]

  provisioner "file" {
    source      = var.vm_images
    destination = "/tmp/"
  }

  provisioner "shell" {
    script           = var.inside
    environment_vars = ["NIGHTSHIFT_MIRROR=${var.mirror}"]
  }

  provisioner "file" {
    direction   = "download"
    source      = "/tmp/image.tar"
    destination = var.output
  }
}
